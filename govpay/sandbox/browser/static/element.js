// What both elements share: attributes, loading, the session's end, themes, events.

const SHEET = new CSSStyleSheet();
SHEET.replaceSync(STYLES);

const FONTS = {
  inter: 'Inter, "Helvetica Neue", Arial, sans-serif',
  roboto: 'Roboto, "Helvetica Neue", Arial, sans-serif',
  system: "system-ui, sans-serif",
};
// Black or white, whichever is read better on a color; only #rrggbb can be judged.
function inkOn(color) {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(color);
  if (!found) return "#ffffff";
  const [red, green, blue] = found.slice(1).map((part) => {
    const share = parseInt(part, 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

// The longest that a browser's timer can wait.
const LONGEST_WAIT = 2147483647;

// The vendor's own element keeps numbers in an iframe of another origin; this stand-in has only its shadow tree.
class SessionElement extends HTMLElement {
  // `client-secret`: the vendor's pages say that such an attribute exists; its name is not visible there.
  static observedAttributes = ["session-id", "client-secret", "theme", "accent", "font"];

  constructor() {
    super();
    this.attachShadow({ mode: "open" });
    this.look = new CSSStyleSheet();
    this.shadowRoot.adoptedStyleSheets = [SHEET, this.look];
    this.root = h("div", { class: "root" });
    this.shadowRoot.append(this.root);
    this.session = null;
  }

  connectedCallback() {
    this.#plan();
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    this.loading = null;
  }

  attributeChangedCallback(name, before, after) {
    if (before === after) return;
    if (name === "session-id" || name === "client-secret") this.#plan();
    else this.dress();
  }

  // Both attributes are often set one after the other: load once.
  #plan() {
    if (!this.isConnected || this.planned) return;
    this.planned = true;
    queueMicrotask(() => {
      this.planned = false;
      if (this.isConnected) this.start();
    });
  }

  flag(name) {
    return this.hasAttribute(name) && this.getAttribute(name) !== "false";
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, detail }));
  }

  async start() {
    clearTimeout(this.timer);
    const id = this.getAttribute("session-id");
    const secret = this.getAttribute("client-secret");
    this.ended = false;
    this.session = null;
    if (!id || !secret) {
      this.root.replaceChildren();
      return;
    }
    const loading = (this.loading = {});
    this.wire = new Wire(id, secret);
    this.dress();
    this.root.replaceChildren(h("p", { class: "quiet", role: "status" }, "Loading…"));
    try {
      const session = await this.wire.session("GET");
      // The attribute may have changed, or the element gone, while we waited.
      if (this.loading !== loading) return;
      this.session = session;
      this.dress();
      this.watch();
      this.tell("session.ready", { session });
      await this.open();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.loading === loading) this.stop(error);
    }
  }

  // The session ends by our own timer too, on the platform's clock.
  watch() {
    clearTimeout(this.timer);
    if (this.session.status !== "active") return;
    const left = Date.parse(this.session.expires_at) - Date.now() - this.wire.ahead;
    this.timer = setTimeout(() => this.runOut(), Math.min(Math.max(left, 0), LONGEST_WAIT));
  }

  // The time is over. While a payment is on its way only its answer counts; one whose answer was lost is asked for.
  async runOut() {
    if (this.ended || this.working) return;
    if (this.attempt) {
      try {
        const session = await this.wire.session("GET");
        if (session.status === "completed") {
          this.completed();
          return;
        }
      } catch (error) {
        if (error.status === 410) this.attempt = null;
      }
    }
    this.expire();
  }

  expire() {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.timer);
    const unsure = "Your last attempt may have gone through: please check with us before you pay again.";
    const text = this.attempt ? unsure : "Nothing was charged. Please go back and start again.";
    this.notice("This session has expired", text, "warning");
    this.tell("session.expired", { sessionId: this.getAttribute("session-id") });
  }

  // An error that leaves nothing to do in this session.
  stop(error) {
    if (error.code === "session_expired" || error.status === 410) {
      this.expire();
      return;
    }
    this.ended = true;
    const retry = error.code === "network_error";
    const button = retry && h("button", { type: "button", class: "second", onclick: () => this.start() }, "Try again");
    const title = this.session ? "This cannot go on" : "This form is not available";
    this.notice(title, error.message, "bad", button || "");
    this.fail(error);
  }

  notice(title, text, kind, ...more) {
    const heading = h("h2", { tabindex: "-1" }, title);
    const role = kind === "good" ? "status" : "alert";
    const here = this.matches(":focus-within");
    this.root.replaceChildren(h("div", { class: `notice ${kind}`, role }, heading, text && h("p", {}, text), ...more));
    // Whoever was in the form is led to what replaced it; others keep their place.
    if (here) heading.focus();
  }

  // Attribute over session branding over the account's; the page's own custom properties over all.
  dress() {
    const asked = this.getAttribute("accent") || this.session?.branding?.accent_color;
    const known = asked && CSS.supports("color", asked);
    const accent = known ? `--gv-accent: ${asked}; --gv-on-accent: ${inkOn(asked)};` : "";
    const font = FONTS[this.getAttribute("font") || "inter"] || FONTS.inter;
    this.look.replaceSync(`:host { ${accent} --gv-font-display: ${font}; }`);
    const theme = this.getAttribute("theme");
    this.root.dataset.theme = ["light", "dark", "auto"].includes(theme) ? theme : "light";
  }
}
