// <govifi-wallet>, and the management mode of the other element: add, remove, choose the default.

// A short word for the eye, the whole sentence for the ear.
function action(label, spoken, onclick) {
  return h("button", { type: "button", class: "link", "aria-label": spoken, onclick }, label);
}

class Manager {
  constructor(element) {
    this.element = element;
    this.list = h("ul", { class: "wallet" });
    this.alert = h("div", { class: "alert", role: "alert" });
    this.status = h("p", { class: "quiet", role: "status" });
    this.adding = h("div", {});
    this.add = button("Add a payment method", "second", () => this.openEntry());
    this.node = h("section", { "aria-label": "Payment methods" });
    const message = element.session.page_message;
    this.node.append(message ? h("div", { class: "message" }, harmless(message)) : "", this.list);
    this.node.append(this.status, this.alert, this.add, this.adding);
  }

  async load() {
    const { methods, allowed_methods } = await this.element.wire.session("GET", "/payment-methods");
    this.allowed = allowed_methods.filter((name) => name === "card" || name === "ach");
    this.add.hidden = !this.allowed.length || this.adding.hasChildNodes();
    this.list.replaceChildren(...methods.map((method) => this.#item(method)));
    if (!methods.length) this.list.replaceChildren(h("li", { class: "quiet" }, "No payment methods are saved yet."));
  }

  #item(method) {
    const name = savedLabel(method);
    const lock = method.locked && h("p", { class: "quiet" }, `Cannot be removed: ${method.lock_reason || "locked"}`);
    const badges = (method.badges || []).map((badge) => {
      const node = h("span", { class: "badge" }, badge.label);
      if (/^#[0-9A-Fa-f]{6}$/.test(badge.color || "")) node.style.setProperty("--gv-badge", badge.color);
      return node;
    });
    const prefer = () => this.#prefer(method, name);
    const actions = h("div", { class: "actions" });
    if (!method.is_default) {
      actions.append(action("Make default", `Make ${name} the default`, prefer));
    }
    if (!method.locked) {
      const ask = () => this.#askRemoval(method, name, actions);
      actions.append(action("Remove", `Remove ${name}`, ask));
    }
    const detail = savedDetail(method);
    const label = h("span", { class: "label" }, name, detail && h("small", {}, detail));
    const standard = method.is_default && h("span", { class: "badge" }, "Default");
    return h("li", {}, h("div", { class: "line" }, label, standard, badges), lock, actions);
  }

  #askRemoval(method, name, actions) {
    const before = [...actions.childNodes];
    const back = () => {
      actions.replaceChildren(...before);
      actions.querySelector("[aria-label^=Remove]").focus();
    };
    const yes = button("Yes, remove", "danger", () => this.#remove(method, name));
    actions.replaceChildren(h("span", { role: "alert" }, `Remove ${name}?`), yes, button("Keep", "second", back));
    yes.focus();
  }

  async #remove(method, name) {
    await this.#act(async () => {
      await this.element.wire.session("DELETE", `/payment-methods/${encodeURIComponent(method.id)}`);
      this.element.tell("walletDeleted", { savedMethodId: method.id });
    }, `${name} was removed.`);
  }

  async #prefer(method, name) {
    await this.#act(async () => {
      await this.element.wire.session("PUT", "/default-payment-method", { saved_payment_method_uid: method.id });
      this.element.tell("walletDefault", { savedMethodId: method.id });
    }, `${name} is now the default.`);
  }

  // One deed at a time; the list is read again after it, and also after a refusal.
  async #act(deed, done) {
    if (this.working) return;
    this.working = true;
    this.alert.replaceChildren();
    try {
      await deed();
      await this.load();
      this.status.textContent = done;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 410) this.element.expire();
      else {
        this.alert.replaceChildren(h("p", {}, error.message));
        this.element.fail(error);
        if (error.status) await this.load().catch(() => {});
      }
    } finally {
      this.working = false;
    }
    if (!this.add.hidden && !this.element.ended) this.add.focus();
  }

  openEntry(kind = this.allowed[0]) {
    const entry = new Entry(kind, []);
    const form = h("form", { novalidate: true, "aria-label": "New payment method" });
    if (this.allowed.length > 1) {
      const options = [["card", "Card"], ["ach", "Bank account"]];
      const kinds = field("kind", "Type", { options, value: kind });
      kinds.input.value = kind;
      kinds.input.addEventListener("change", () => this.openEntry(kinds.input.value));
      form.append(kinds.row);
    }
    const save = h("button", { type: "submit", class: "first" }, "Save");
    const cancel = button("Cancel", "second", () => {
      this.closeEntry();
      this.add.focus();
    });
    form.append(entry.node, h("div", { class: "buttons" }, save, cancel));
    form.addEventListener("input", () => {
      const errors = entry.errors();
      this.element.tell("validation", { valid: !Object.keys(errors).length, errors });
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!Object.keys(entry.show(true)).length) this.#save(entry);
    });
    this.alert.replaceChildren();
    this.adding.replaceChildren(form);
    this.add.hidden = true;
    form.querySelector("select, input").focus();
  }

  closeEntry() {
    this.adding.replaceChildren();
    this.add.hidden = false;
  }

  async #save(entry) {
    await this.#act(async () => {
      const { processor_token, payment_method } = await this.element.wire.tokenize(entry.instrument());
      const body = { processor_token, payment_method, method: entry.kind, billing_details: entry.billing() };
      const saved = await this.element.wire.session("POST", "/payment-methods", body);
      this.closeEntry();
      this.element.tell("walletSaved", { savedMethodId: saved.id });
    }, "The payment method was saved.");
  }
}

async function openManager(element) {
  if (element.session.scope !== "wallet") {
    const message = "This session is not for managing methods.";
    element.stop(new Refused(403, { code: "insufficient_scope", message, recoverable: false }));
    return;
  }
  const manager = new Manager(element);
  await manager.load();
  element.root.replaceChildren(manager.node);
}

// Its own attributes and events are not documented: it has those of the other element that make sense here.
class GovifiWallet extends SessionElement {
  open() {
    return openManager(this);
  }

  fail(error) {
    this.tell("walletError", { code: error.code, message: error.message, recoverable: error.recoverable });
  }
}

customElements.define("govifi-wallet", GovifiWallet);
