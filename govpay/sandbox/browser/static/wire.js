// The API as the browser calls it: one session, its credential as bearer, nothing else.

// This script is served by the platform itself, so its own address is that of the API.
const SCRIPT = document.currentScript || document.querySelector('script[src*="/component/govifi.js"]');
const API = new URL(SCRIPT ? SCRIPT.src : document.baseURI).origin;

class Refused extends Error {
  constructor(status, body) {
    super(body.message || "Something went wrong.");
    this.status = status;
    this.code = body.code || "processing_error";
    this.recoverable = body.recoverable !== false;
  }
}

class Wire {
  constructor(sessionId, secret) {
    this.sessionId = sessionId;
    this.secret = secret;
    // Milliseconds by which the platform's clock is ahead of this one.
    this.ahead = 0;
  }

  async call(method, path, body, headers = {}) {
    const sent = { Authorization: `Bearer ${this.secret}`, ...headers };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    let answer;
    let text;
    try {
      answer = await fetch(API + path, {
        method,
        headers: sent,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
      });
      text = await answer.text();
    } catch {
      throw new Refused(0, { code: "network_error", message: "The connection failed. Please try again." });
    }
    const date = Date.parse(answer.headers.get("Date"));
    // The header has whole seconds: small differences are its rounding.
    if (date) this.ahead = Math.abs(date - Date.now()) > 3000 ? date - Date.now() : 0;
    let data = null;
    try {
      data = text ? JSON.parse(text) : null;
    } catch {
      // An answer that cannot be read says as little as none.
      throw new Refused(0, { code: "network_error", message: "The answer could not be read. Please try again." });
    }
    if (!answer.ok) {
      // After an error of the server nobody knows whether it acted: the same key must be sent again.
      const lost = answer.status >= 500;
      throw new Refused(lost ? 0 : answer.status, lost ? { ...data, code: "network_error" } : data || {});
    }
    return data;
  }

  session(method, path = "", body, headers) {
    return this.call(method, `/v1/hosted-sessions/${encodeURIComponent(this.sessionId)}${path}`, body, headers);
  }

  tokenize(instrument) {
    return this.call("POST", `/component/tokens/${encodeURIComponent(this.sessionId)}`, instrument);
  }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
