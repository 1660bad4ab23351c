// The payment form as it is seen: choices of method, entries, totals. It decides nothing.

const MANDATES = {
  web: "By pressing Pay you authorize a one-time electronic debit from your bank account for the total shown.",
  tel: "The payer was read the terms on the telephone and authorizes a one-time debit for the total shown.",
  ppd: "The payer has signed a written authorization for a debit of the total shown.",
};

// What the payer can choose from: saved methods first, the default at their head, then new ones.
function choicesOf(session, element) {
  const allowed = new Set(session.allowed_methods || ["card", "ach"]);
  if (element.flag("disable-ach")) allowed.delete("ach");
  if (element.flag("disable-credit-card")) allowed.delete("card");
  const saved = element.flag("new-method-only") ? [] : session.saved_methods || [];
  const known = saved
    .filter((method) => allowed.has(method.type))
    .sort((one, other) => Number(other.is_default) - Number(one.is_default))
    .map((method) => ({ key: method.id, method: method.type, saved: method, label: savedLabel(method) }));
  const fresh = [
    { key: "card", method: "card", label: known.length ? "New card" : "Card" },
    { key: "ach", method: "ach", label: known.length ? "New bank account" : "Bank account" },
  ];
  return [...known, ...fresh.filter((choice) => allowed.has(choice.method))];
}

class PaymentForm {
  constructor(element, session) {
    this.element = element;
    this.session = session;
    this.choices = choicesOf(session, element);
    this.entries = {};
    this.methods = h("fieldset", { class: "methods" }, h("legend", {}, "Pay with"));
    this.panel = h("div", { class: "panel" });
    this.totals = h("dl", { class: "totals", "aria-live": "polite" });
    this.alert = h("div", { class: "alert", role: "alert" });
    this.aside = h("div", {});
    this.pay = h("button", { type: "submit", class: "first" });
    this.message = h("div", { class: "message" });
    this.#options();
    this.node = h("form", { novalidate: true, "aria-label": "Payment" });
    this.node.append(this.message, this.methods, this.panel, this.totals, this.alert, this.aside, this.pay);
    this.describe(session);
  }

  describe(session) {
    this.session = session;
    this.message.replaceChildren(session.page_message ? harmless(session.page_message) : "");
  }

  #options() {
    // One way to pay needs no choosing.
    this.methods.hidden = this.choices.length < 2;
    for (const choice of this.choices) {
      const radio = h("input", { type: "radio", name: "method", value: choice.key });
      const detail = choice.saved ? savedDetail(choice.saved) : "";
      const text = h("span", { class: "label" }, choice.label, detail && h("small", {}, detail));
      const badge = choice.saved?.is_default && h("span", { class: "badge" }, "Default");
      this.methods.append(h("label", { class: "choice" }, radio, text, badge));
    }
  }

  mark(choice) {
    for (const radio of this.methods.querySelectorAll("input")) radio.checked = radio.value === choice.key;
  }

  // The fields of one choice; what was typed for another stays in its entry.
  open(choice) {
    this.mark(choice);
    const parts = [];
    this.cvv = null;
    this.save = null;
    this.mandate = null;
    if (choice.saved) {
      if (choice.method === "card" && this.element.flag("cvv-recheck")) {
        this.cvv = field("cvv", "Security code", { inputmode: "numeric", autocomplete: "cc-csc", maxlength: 4 }, false);
        parts.push(this.cvv.row);
      }
    } else {
      this.entries[choice.method] ||= new Entry(choice.method, this.session.required_avs_fields || []);
      parts.push(this.entries[choice.method].node, this.#saving());
    }
    if (choice.method === "ach") parts.push(this.#authorization());
    this.panel.replaceChildren(...parts.filter(Boolean));
  }

  #saving() {
    const { session, element } = this;
    const wanted = element.getAttribute("setup-future-usage") || session.setup_future_usage;
    // The attribute cannot allow what the session does not; and without a customer there is nobody to save for.
    const offered = wanted !== "off" && session.setup_future_usage !== "off" && session.saved_methods;
    if (!offered) return null;
    this.save = h("input", { type: "checkbox", name: "save", checked: true });
    return h("label", { class: "check" }, this.save, h("span", {}, "Save this for future payments"));
  }

  #authorization() {
    const code = this.element.getAttribute("ach-sec-code");
    if (!(code in MANDATES)) return null;
    if (code === "web") return h("p", { class: "quiet" }, MANDATES.web);
    this.mandate = h("input", { type: "checkbox", name: "mandate" });
    return h("label", { class: "check" }, this.mandate, h("span", {}, MANDATES[code]));
  }

  // The amounts: with the fee once it is known.
  total(quote, waiting) {
    const { amount, currency } = this.session;
    const rows = [["Amount", money(amount, currency)]];
    if (quote) rows.push(["Convenience fee", money(quote.convenience_fee, currency)]);
    else rows.push(["Convenience fee", waiting ? "Calculating…" : "Shown before you pay"]);
    if (quote) rows.push(["Total", money(quote.total_amount, currency)]);
    this.totals.replaceChildren(
      ...rows.map(([term, text]) => h("div", { class: term.toLowerCase() }, h("dt", {}, term), h("dd", {}, text))),
    );
    this.pay.textContent = quote ? `Pay ${money(quote.total_amount, currency)}` : "Pay";
  }

  // Not `disabled`, which would lose the focus; the element ignores presses meanwhile.
  busy(text) {
    if (text) this.pay.setAttribute("aria-disabled", "true");
    else this.pay.removeAttribute("aria-disabled");
    this.pay.classList.toggle("working", Boolean(text));
    if (text) this.pay.textContent = text;
    this.node.setAttribute("aria-busy", text ? "true" : "false");
  }

  complain(text) {
    this.alert.replaceChildren(text ? h("p", {}, text) : "");
  }

  // A question instead of the button; none returns to it.
  ask(question) {
    this.aside.replaceChildren(question || "");
    this.pay.hidden = Boolean(question);
    this.methods.disabled = Boolean(question);
    this.panel.inert = Boolean(question);
    if (question) question.focusFirst();
    else this.pay.focus();
  }
}
