// A button that copies the text of a field, and says so.
'use strict';
document.addEventListener('click', async event => {
    const button = event.target.closest('[data-govpay-copy]');
    if (!button) {
        return;
    }
    const field = document.getElementById(button.dataset.govpayCopy);
    field.select();
    try {
        await navigator.clipboard.writeText(field.value);
    } catch {
        document.execCommand('copy'); // without https there is no clipboard
    }
    button.textContent = button.dataset.govpayCopied;
});
