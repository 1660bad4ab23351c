// The hosted page: the session's id from the path, its credential from the fragment, which never reaches a server.

const sessionId = location.pathname.split("/").pop();
const secret = new URLSearchParams(location.hash.slice(1)).get("cs") || "";

function byId(id) {
  return document.getElementById(id);
}

function money(cents, currency) {
  return new Intl.NumberFormat("en-US", { style: "currency", currency }).format(cents / 100);
}

function describe(session) {
  const name = session.merchant_display_name || "";
  byId("merchant").textContent = name;
  document.title = name ? `Pay ${name}` : "Checkout";
  byId("title").textContent = money(session.amount, session.currency);
  byId("description").textContent = session.description || "";
  if (session.branding?.logo_url) {
    byId("logo").src = session.branding.logo_url;
    byId("logo").hidden = false;
  }
  const items = (session.line_items || []).map((item) => {
    const row = document.createElement("li");
    const what = document.createElement("span");
    const amount = document.createElement("span");
    what.textContent = item.quantity > 1 ? `${item.description} × ${item.quantity}` : item.description;
    amount.textContent = money(item.amount, session.currency);
    row.append(what, amount);
    return row;
  });
  byId("items").replaceChildren(...items);
  byId("items").hidden = !items.length;
}

async function redirects() {
  const headers = { Authorization: `Bearer ${secret}` };
  const answer = await fetch(`/checkout/${encodeURIComponent(sessionId)}/redirects`, { headers, cache: "no-store" });
  return answer.ok ? answer.json() : {};
}

function leadTo(url, text) {
  if (!/^https?:/.test(url || "")) return;
  byId("cancel").href = url;
  byId("cancel").textContent = text;
  byId("back").hidden = false;
}

const element = document.createElement("govifi-payment");

element.addEventListener("session.ready", async ({ detail }) => {
  describe(detail.session);
  const { cancel_url, success_url } = await redirects();
  if (detail.session.status === "completed") leadTo(success_url, "Continue");
  else leadTo(cancel_url, "Cancel and go back");
});
element.addEventListener("session.expired", async () => {
  document.title = "Session expired";
  const { cancel_url } = await redirects();
  leadTo(cancel_url, "Go back");
});
element.addEventListener("payment.success", async () => {
  byId("back").hidden = true;
  const { success_url } = await redirects();
  if (!success_url) return;
  leadTo(success_url, "Continue");
  location.assign(success_url);
});

element.setAttribute("ach-sec-code", "web");
element.setAttribute("session-id", sessionId);
element.setAttribute("client-secret", secret);
byId("form").append(element);
if (!secret) {
  const text = document.createElement("p");
  text.textContent = "This address is not complete. Please open the link again.";
  byId("form").replaceChildren(text);
}
