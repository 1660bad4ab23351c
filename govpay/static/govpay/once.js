// A form is sent once: its button closes while the answer is under way. The server does not rely on it,
// the signed key in the form makes a second copy the same action.
'use strict';
{
    const forms = () => document.querySelectorAll('form[data-govpay-once]');
    // A button may stand elsewhere on the page and name its form.
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

    // Back from the next page: the browser shows this one as it was left.
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
