// Questions in the middle of a payment: a duplicate, a proof of who pays.

// Shown in place of the Pay button; takes the focus, so that it is not missed.
function prompt(title, text, ...controls) {
  const id = `gv-${(lastId += 1)}`;
  const heading = h("h2", { id, tabindex: "-1" }, title);
  const named = { "aria-labelledby": id, "aria-describedby": `${id}-text` };
  const node = h("div", { class: "prompt", role: "alertdialog", ...named });
  node.append(heading, h("p", { id: `${id}-text` }, text), ...controls);
  node.focusFirst = () => (node.querySelector("input") || heading).focus();
  return node;
}

function button(label, kind, onclick) {
  return h("button", { type: "button", class: kind, onclick }, label);
}

function duplicatePrompt(total, proceed, cancel) {
  const text = `You made a payment of the same amount with the same method a moment ago. Pay ${total} again?`;
  const buttons = h("div", { class: "buttons" });
  buttons.append(button("Submit anyway", "first", proceed), button("Do not pay", "second", cancel));
  return prompt("Is this a second payment?", text, buttons);
}

// `send` asks for a code, `answer` takes the response; both may throw a Refused.
function challengePrompt(challenge, send, answer, cancel) {
  const stop = button("Cancel", "second", cancel);
  if (challenge.type === "hcaptcha" || challenge.type === "turnstile") {
    // A stand-in for the captcha's own widget, which would come from its maker.
    const go = () => answer({ type: challenge.type, token: "sandbox-captcha-passed" });
    const buttons = h("div", { class: "buttons" }, button("I am a person", "first", go), stop);
    return prompt("One more step", "Please confirm that you are a person.", buttons);
  }
  const typing = { inputmode: "numeric", autocomplete: "one-time-code", maxlength: 8 };
  const code = field("code", "Verification code", typing);
  const status = h("p", { class: "quiet", role: "status" });
  const way = challenge.type === "sms" ? "text message" : "e-mail";
  const where = challenge.delivery_hint ? ` to ${challenge.delivery_hint}` : "";
  const again = button("Send the code again", "link", () => dispatch());
  const check = () => {
    const given = code.input.value.trim();
    code.fail(given ? "" : "Enter the code.");
    if (given) answer({ type: challenge.type, code: given });
    else code.input.focus();
  };
  code.input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    // The form around this must not be submitted by it.
    event.preventDefault();
    check();
  });
  async function dispatch() {
    status.textContent = "Sending…";
    try {
      await send();
      status.textContent = `A code was sent by ${way}${where}.`;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      status.textContent = error.message;
    }
  }
  const buttons = h("div", { class: "buttons" }, button("Verify and pay", "first", check), stop);
  const node = prompt("Verify that it is you", "Enter the code that we send you.", code.row, status, buttons, again);
  node.fail = (message) => {
    code.fail(message);
    code.input.focus();
  };
  if (challenge.code_sent) status.textContent = `A code was sent by ${way}${where}.`;
  else dispatch();
  return node;
}
