// The payment page listens to the vendor's component (/component/events/); it never sees a card number.
(function () {
  "use strict";
  const box = document.querySelector("[data-payment]");
  const note = document.querySelector("[data-note]");

  function money(minor) {
    const format = new Intl.NumberFormat(document.documentElement.lang, { style: "currency", currency: box.dataset.currency });
    return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
  }

  function show(name, minor) {
    if (!Number.isFinite(minor)) return;
    const row = document.querySelector(`[data-${name}]`);
    row.querySelector("dd").textContent = money(minor);
    row.hidden = false;
  }

  function say(text) {
    note.textContent = text;
    note.hidden = !text;
  }

  box.addEventListener("feequote", function (event) {
    show("fee", event.detail.convenienceFee);
    show("total", event.detail.totalAmount);
  });
  box.addEventListener("payment.processing", function () {
    say("");
  });
  box.addEventListener("payment.error", function (event) {
    // The payment was already made. The component shows a better message than the API, so show none here.
    const paid = event.detail.code === "already_confirmed";
    say(paid ? "" : event.detail.message || box.dataset.errorText);
    // The documentation says "recoverable: false means a new session". The page behind this link shows whether it is paid.
    if (event.detail.recoverable === false) document.querySelector("[data-expired]").hidden = false;
  });
  // This event is no proof of a payment. The next page asks the platform.
  box.addEventListener("payment.success", function () {
    window.location.assign(box.dataset.done);
  });
  box.addEventListener("session.expired", function () {
    const again = document.querySelector("[data-expired]");
    const here = box.contains(document.activeElement);
    say(box.dataset.expiredText);
    again.hidden = false;
    box.hidden = true;
    // If the focus was in the component, move it to the link, for users without a mouse.
    if (here) again.querySelector("a").focus();
  });
})();
