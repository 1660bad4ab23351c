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
    say(event.detail.message || box.dataset.errorText);
  });
  // The page that follows asks the platform; nothing here is taken for a payment.
  box.addEventListener("payment.success", function () {
    window.location.assign(box.dataset.done);
  });
  box.addEventListener("session.expired", function () {
    say(box.dataset.expiredText);
    document.querySelector("[data-expired]").hidden = false;
    box.hidden = true;
  });
})();
