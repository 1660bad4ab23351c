// Send a form only once: its button is disabled until the response arrives. The server does not rely on this:
// because of the signed token in the form, a second copy is the same action.
'use strict';
{
    const forms = () => document.querySelectorAll('form[data-govpay-once]');
    // A button may be elsewhere on the page and refer to its form.
    const buttonOf = form => [...form.elements].find(each => each.type === 'submit');

    document.addEventListener('submit', event => {
        const form = event.target;
        if (!form.matches('form[data-govpay-once]')) {
            return;
        }
        if (form.dataset.govpaySent) {
            event.preventDefault();
            return;
        }
        form.dataset.govpaySent = 'yes';
        const button = buttonOf(form);
        button.dataset.govpayLabel = button.value;
        button.value = form.dataset.govpayOnce;
        button.setAttribute('aria-disabled', 'true');
    });

    // After "Back", the browser shows this page as it was when the user left it, so enable the buttons again.
    window.addEventListener('pageshow', () => {
        for (const form of forms()) {
            delete form.dataset.govpaySent;
            const button = buttonOf(form);
            if (button.dataset.govpayLabel) {
                button.value = button.dataset.govpayLabel;
                button.removeAttribute('aria-disabled');
            }
        }
    });
}
