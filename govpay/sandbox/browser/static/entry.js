// Forms for a new card and a new bank account. Each knows its fields, its rules and what to tokenize.

const BILLING_LABELS = {
  zip: "ZIP code",
  street: "Street address",
  street2: "Apartment, suite",
  city: "City",
  state: "State",
  country: "Country",
  phone: "Telephone",
  email: "E-mail",
};
const COMPLETE = {
  zip: "postal-code",
  street: "address-line1",
  street2: "address-line2",
  city: "address-level2",
  state: "address-level1",
  country: "country-name",
  phone: "tel",
  email: "email",
};

class Entry {
  constructor(kind, required) {
    this.kind = kind;
    this.fields = {};
    this.rules = {};
    // Fields that were left at least once: nobody is scolded while still typing.
    this.left = new Set();
    this.node = h("div", { class: "entry" });
    if (kind === "card") this.#card();
    else this.#bank();
    for (const name of required) {
      if (name in BILLING_LABELS) this.#add(name, BILLING_LABELS[name], { autocomplete: COMPLETE[name] }, "needed");
    }
    this.node.addEventListener("focusout", (event) => {
      if (event.target.name) this.left.add(event.target.name);
      this.show();
    });
  }

  #add(name, label, properties, rule, wide = true) {
    const made = field(name, label, { required: true, ...properties }, wide);
    this.fields[name] = made;
    this.rules[name] = rule;
    this.node.append(made.row);
    return made.input;
  }

  #card() {
    const digits = { inputmode: "numeric", autocomplete: "off", spellcheck: "false" };
    const card = { ...digits, autocomplete: "cc-number", maxlength: 23 };
    const number = this.#add("number", "Card number", card, "number");
    number.addEventListener("input", () => {
      // Only while typing at the end, so that the caret never jumps.
      if (number.selectionStart === number.value.length) number.value = grouped(digitsOf(number.value).slice(0, 19));
    });
    const expiry = { ...digits, autocomplete: "cc-exp", placeholder: "MM/YY", maxlength: 7 };
    const date = this.#add("expiry", "Expiry date", expiry, "expiry", false);
    date.addEventListener("input", (event) => {
      if (/^\d{2}$/.test(date.value) && event.inputType === "insertText") date.value += "/";
      // Whoever types the slash too gets one.
      if (/\/\s*\//.test(date.value)) date.value = date.value.replace(/\s*\/[\s/]*/, "/");
    });
    this.#add("cvv", "Security code", { ...digits, autocomplete: "cc-csc", maxlength: 4 }, "cvv", false);
    this.#add("cardholder", "Name on card", { autocomplete: "cc-name" }, "cardholder");
  }

  #bank() {
    const digits = { inputmode: "numeric", autocomplete: "off", spellcheck: "false" };
    this.#add("cardholder", "Name on the account", { autocomplete: "name" }, "cardholder");
    this.#add("routing_number", "Routing number", { ...digits, maxlength: 9 }, "routing_number");
    this.#add("account_number", "Account number", { ...digits, maxlength: 17 }, "account_number");
    const options = [["checking", "Checking"], ["savings", "Savings"]];
    this.#add("account_type", "Account type", { options }, "needed");
  }

  value(name) {
    return this.fields[name].input.value.trim();
  }

  errors() {
    const found = {};
    for (const [name, rule] of Object.entries(this.rules)) {
      const message = RULES[rule](this.fields[name].input.value);
      if (message) found[name] = message;
    }
    return found;
  }

  // Shows errors of fields that were left, or of all; focuses the first on `all`.
  show(all = false) {
    const errors = this.errors();
    // What was told stays told while the focus moves on.
    if (all) Object.keys(this.fields).forEach((name) => this.left.add(name));
    for (const [name, made] of Object.entries(this.fields)) made.fail(this.left.has(name) ? errors[name] : "");
    const first = Object.keys(this.fields).find((name) => errors[name]);
    if (all && first) this.fields[first].input.focus();
    return errors;
  }

  // What a token depends on: while it stays the same, so does the token.
  instrument() {
    if (this.kind === "ach") {
      const names = ["routing_number", "account_number", "account_type"];
      return { ach: Object.fromEntries(names.map((name) => [name, this.value(name)])) };
    }
    const [month, year] = expiryOf(this.value("expiry"));
    const number = digitsOf(this.value("number"));
    return { card: { number, exp_month: month, exp_year: year, cvv: this.value("cvv") } };
  }

  billing() {
    const names = ["cardholder", ...Object.keys(BILLING_LABELS)].filter((name) => name in this.fields);
    return Object.fromEntries(names.map((name) => [name, this.value(name)]));
  }
}

function savedLabel(method) {
  const digits = `ending in ${method.last4}`;
  return method.type === "ach"
    ? `${method.bank_name || "Bank account"} ${method.account_type || ""} ${digits}`.replace("  ", " ")
    : `${brandName(method.brand)} ${digits}`;
}

function savedDetail(method) {
  if (method.type === "ach") return "";
  return `Expires ${String(method.exp_month).padStart(2, "0")}/${String(method.exp_year).slice(-2)}`;
}
