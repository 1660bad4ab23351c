// A button with data-govpay-copy copies the text of a field, and its label then says that it was copied.
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
        document.execCommand('copy'); // browsers have no clipboard API without https
    }
    button.textContent = button.dataset.govpayCopied;
});
