// <govifi-payment>: choose, tokenize, quote, confirm once.

// A token lives about 15 minutes; an older one is made anew before it is used.
const TOKEN_AGE = 14 * 60 * 1000;
const TYPING_PAUSE = 350;
const LAYOUT = ["setup-future-usage", "disable-ach", "disable-credit-card", "cvv-recheck"];

class GovifiPayment extends SessionElement {
  static observedAttributes = [
    ...SessionElement.observedAttributes, ...LAYOUT, "management-mode", "new-method-only", "ach-sec-code",
  ];

  attributeChangedCallback(name, before, after) {
    super.attributeChangedCallback(name, before, after);
    const ours = !SessionElement.observedAttributes.includes(name);
    if (ours && before !== after && this.session && !this.ended && !this.working) this.open();
  }

  // The page's own server has changed the session: amounts are read again, what was typed stays.
  async refreshSession() {
    if (!this.form || this.ended || this.working) return;
    try {
      this.session = await this.wire.session("GET");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 410) this.expire();
      else this.fail(error);
      return;
    }
    if (this.session.status === "completed") {
      this.completed();
      return;
    }
    this.watch();
    this.form.describe(this.session);
    this.quoted = null;
    this.settle();
    if (!Object.keys(this.errors()).length) await this.quote();
  }

  open() {
    this.form = null;
    this.choice = null;
    this.quoted = null;
    this.attempt = null;
    this.working = false;
    if (this.session.status === "completed") return this.completed();
    if (this.flag("management-mode")) return openManager(this);
    if (this.session.scope !== "payment") {
      const body = { code: "insufficient_scope", message: "This session is not for a payment.", recoverable: false };
      return this.stop(new Refused(403, body));
    }
    this.form = new PaymentForm(this, this.session);
    if (!this.form.choices.length) {
      const body = { code: "validation_error", message: "No payment method is available.", recoverable: false };
      return this.stop(new Refused(422, body));
    }
    const { node, methods, panel } = this.form;
    node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    methods.addEventListener("change", (event) => {
      this.choose(this.form.choices.find((choice) => choice.key === event.target.value));
    });
    panel.addEventListener("input", () => this.typed(TYPING_PAUSE));
    panel.addEventListener("focusout", () => this.typed(0));
    this.root.replaceChildren(node);
    return this.choose(this.form.choices[0]);
  }

  completed() {
    this.ended = true;
    clearTimeout(this.timer);
    this.notice("This has been paid", "Nothing more is to do.", "good");
  }

  choose(choice) {
    this.choice = choice;
    this.token = null;
    this.quoted = null;
    this.turn = {};
    clearTimeout(this.pause);
    this.form.complain("");
    this.form.open(choice);
    this.settle();
    this.tell("method.changed", { method: choice.method });
    if (!Object.keys(this.errors()).length || choice.saved) this.quote();
  }

  get entry() {
    return this.choice.saved ? null : this.form.entries[this.choice.method];
  }

  // field -> message, of everything that keeps the payer from paying.
  errors() {
    const found = this.entry ? this.entry.errors() : {};
    if (this.form.cvv) {
      const message = RULES.cvv(this.form.cvv.input.value);
      if (message) found.cvv = message;
    }
    if (this.form.mandate && !this.form.mandate.checked) found.ach_authorization = "Please confirm the authorization.";
    return found;
  }

  typed(wait) {
    if (this.working || this.ended) return;
    const errors = this.errors();
    const said = JSON.stringify(errors);
    if (wait || said !== this.said) this.tell("validation", { valid: said === "{}", errors });
    this.said = said;
    clearTimeout(this.pause);
    if (!this.entry || Object.keys(this.entry.errors()).length) {
      if (this.entry && this.quoted) {
        this.quoted = null;
        this.turn = {};
      }
      this.settle();
      return;
    }
    if (this.token?.made === JSON.stringify(this.entry.instrument()) && this.quoted) return;
    this.quoted = null;
    // Any answer still on its way is for what is no longer typed.
    this.turn = {};
    this.settle("Calculating fee…");
    this.pause = setTimeout(() => this.quote(), wait);
  }

  settle(waiting = "") {
    this.form.total(this.quoted, waiting);
    this.form.busy(waiting);
  }

  // A token for what is typed, then its fee. Only the latest turn may write.
  async quote() {
    const turn = (this.turn = {});
    this.form.complain("");
    this.settle("Calculating fee…");
    try {
      const token = await this.tokenized();
      if (this.turn !== turn) return;
      this.token = token;
      const { made, at, brand, ...body } = token;
      const asked = { ...body, method: this.choice.method };
      if (this.choice.method === "card") asked.card_type = brand;
      const quoted = await this.wire.session("POST", "/quote-fee", asked);
      if (this.turn !== turn || this.ended) return;
      this.quoted = quoted;
      this.settle();
      this.tell("feequote", {
        amount: quoted.amount,
        convenienceFee: quoted.convenience_fee,
        totalAmount: quoted.total_amount,
        method: quoted.method,
        ...(quoted.last4 && { last4: quoted.last4 }),
        ...(quoted.card_type && { cardType: quoted.card_type }),
      });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.turn !== turn || this.ended) return;
      this.settle();
      this.refused(error);
    }
  }

  async tokenized() {
    const { saved } = this.choice;
    if (saved) return { processor_token: saved.id, made: saved.id, at: Infinity, brand: saved.brand };
    const made = JSON.stringify(this.entry.instrument());
    if (this.token?.made === made && Date.now() - this.token.at < TOKEN_AGE) return this.token;
    const { processor_token, payment_method } = await this.wire.tokenize(this.entry.instrument());
    return { processor_token, payment_method, made, at: Date.now(), brand: payment_method.card?.card_brand };
  }

  async submit() {
    if (this.working || this.ended || this.form.pay.hasAttribute("aria-disabled")) return;
    this.form.complain("");
    const errors = this.errors();
    if (Object.keys(errors).length) {
      this.tell("validation", { valid: false, errors });
      this.entry?.show(true);
      if (this.form.cvv) {
        this.form.cvv.fail(errors.cvv);
        if (errors.cvv) this.form.cvv.input.focus();
      }
      if (errors.ach_authorization) this.form.complain(errors.ach_authorization);
      return;
    }
    // Nobody pays a fee that was not shown: after a late quote, Pay is to be pressed again.
    const old = this.token && Date.now() - this.token.at > TOKEN_AGE;
    if (!this.quoted || old) {
      await this.quote();
      return;
    }
    if (this.session.challenge) this.challenge();
    else await this.confirm(this.body());
  }

  body(more = {}) {
    const { processor_token, payment_method } = this.token;
    const body = { processor_token, method: this.choice.method, ...(payment_method && { payment_method }) };
    if (this.entry) body.billing_details = this.entry.billing();
    if (this.form.save?.checked) body.save_method = true;
    const code = this.choice.method === "ach" && this.getAttribute("ach-sec-code");
    if (code && code in MANDATES) {
      body.ach_authorization = { sec_code: code, accepted_at: new Date(Date.now() + this.wire.ahead).toISOString() };
    }
    return { ...body, ...more };
  }

  // One key an attempt; an attempt whose answer was lost goes out again with its own key and body.
  async confirm(body) {
    const same = JSON.stringify({ ...body, ach_authorization: body.ach_authorization?.sec_code });
    if (this.attempt?.same !== same) this.attempt = { same, body, key: newKey() };
    const { key } = this.attempt;
    this.working = true;
    this.form.busy("Processing…");
    this.form.panel.inert = true;
    this.tell("payment.processing", { sessionId: this.session.session_id });
    try {
      const paid = await this.wire.session("POST", "/confirm", this.attempt.body, { "Idempotency-Key": key });
      this.paid(paid);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.code !== "network_error") this.attempt = null;
      this.working = false;
      this.form.panel.inert = false;
      this.settle();
      // The session may have run out meanwhile.
      this.watch();
      this.unpaid(error, body);
    }
  }

  paid(paid) {
    this.ended = true;
    this.working = false;
    clearTimeout(this.timer);
    const detail = {
      sessionId: paid.session_id,
      transactionId: paid.transaction_id,
      paymentUid: paid.payment_uid,
      method: paid.method,
      last4: paid.last4,
      cardType: paid.card_type,
      totalAmount: paid.total_amount,
    };
    if (paid.saved_method_id) detail.savedMethodId = paid.saved_method_id;
    const text = `${money(paid.total_amount, this.session.currency)} was paid.`;
    this.notice("Payment received", text, "good");
    this.tell("payment.success", detail);
  }

  unpaid(error, body) {
    if (error.code === "duplicate_payment") {
      const proceed = () => {
        this.form.ask(null);
        this.confirm({ ...body, duplicate_acknowledged: true });
      };
      const total = money(this.quoted.total_amount, this.session.currency);
      this.form.ask(duplicatePrompt(total, proceed, () => this.form.ask(null)));
    } else if (error.code === "challenge_required" || error.code === "challenge_failed") {
      this.challenge(error.code === "challenge_failed" ? error.message : "");
    } else if (error.code === "already_confirmed") {
      this.completed();
      this.fail(error);
    } else {
      this.refused(error);
    }
  }

  async challenge(problem = "") {
    if (!this.session.challenge || problem) {
      try {
        this.session = await this.wire.session("GET");
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.refused(error);
        return;
      }
    }
    const { challenge } = this.session;
    if (!challenge) return;
    this.tell("challenge", { ...challenge });
    const send = () => this.wire.session("POST", "/challenge/send");
    const answer = (response) => {
      this.form.ask(null);
      this.confirm(this.body({ challenge_response: response }));
    };
    const question = challengePrompt(challenge, send, answer, () => this.form.ask(null));
    this.form.ask(question);
    if (problem) question.fail ? question.fail(problem) : this.form.complain(problem);
  }

  // An error in the form: told, shown, and where it can be mended, left to the payer.
  refused(error) {
    if (error.status === 410) {
      this.expire();
      return;
    }
    if (!error.recoverable) {
      this.stop(error);
      return;
    }
    const lost = error.code === "network_error" && this.attempt;
    const again = "We could not see whether the payment went through. Press Pay again: you will not be charged twice.";
    this.form.complain(lost ? again : error.message);
    if (error.code === "incorrect_cvc") this.entry?.fields.cvv.input.focus();
    this.fail(error);
  }

  fail(error) {
    this.tell("payment.error", { code: error.code, message: error.message, recoverable: error.recoverable });
  }
}

customElements.define("govifi-payment", GovifiPayment);
