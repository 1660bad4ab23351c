// Building the page without markup in strings: text is always text, whatever the API says.

function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "checked" || name === "disabled" || name === "hidden") node[name] = Boolean(value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function money(cents, currency = "USD") {
  return new Intl.NumberFormat("en-US", { style: "currency", currency }).format(cents / 100);
}

// `page_message` may hold HTML [the config page]; only harmless tags survive, and no attribute but a link's.
const KEPT_TAGS = new Set(["A", "B", "STRONG", "I", "EM", "P", "BR", "UL", "OL", "LI", "SPAN"]);
const DROPPED_TAGS = new Set(["SCRIPT", "STYLE", "TEMPLATE", "IFRAME", "OBJECT", "NOSCRIPT", "SVG", "MATH"]);

function harmless(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const result = document.createDocumentFragment();
  copyInto(parsed.body, result);
  return result;
}

function copyInto(from, to) {
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) to.append(child.textContent);
    else if (child.nodeType === Node.ELEMENT_NODE && !DROPPED_TAGS.has(child.tagName.toUpperCase())) {
      if (!KEPT_TAGS.has(child.tagName)) {
        copyInto(child, to);
        continue;
      }
      const copy = document.createElement(child.tagName);
      if (child.tagName === "A" && /^https?:/.test(child.href)) {
        copy.href = child.href;
        copy.rel = "noopener noreferrer";
        copy.target = "_blank";
      }
      copyInto(child, copy);
      to.append(copy);
    }
  }
}

let lastId = 0;

// A labelled input with room for its error. Returns {row, input, fail(message)}.
function field(name, label, properties = {}, wide = true) {
  const id = `gv-${(lastId += 1)}`;
  const error = h("p", { id: `${id}-error`, class: "error", hidden: true });
  const tag = properties.options ? "select" : "input";
  const { options, ...rest } = properties;
  const input = h(tag, { id, name, type: tag === "input" ? "text" : undefined, ...rest });
  for (const [value, text] of options || []) input.append(h("option", { value }, text));
  const row = h("div", { class: wide ? "field" : "field half" }, h("label", { for: id }, label), input, error);
  const fail = (message) => {
    error.textContent = message || "";
    error.hidden = !message;
    if (message) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", error.id);
    } else {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  };
  return { row, input, fail };
}
