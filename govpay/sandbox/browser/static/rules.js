// What can be said of a card or a bank account before anybody is asked.

function digitsOf(text) {
  return text.replace(/\D/g, "");
}

function brandOf(digits) {
  if (/^4/.test(digits)) return "visa";
  if (/^3[47]/.test(digits)) return "amex";
  const four = Number(digits.slice(0, 4).padEnd(4, "0"));
  if (/^5/.test(digits) || (four >= 2221 && four <= 2720)) return "mastercard";
  return /^6/.test(digits) ? "discover" : "unknown";
}

const BRANDS = { visa: "Visa", amex: "American Express", mastercard: "Mastercard", discover: "Discover" };

function brandName(brand) {
  return BRANDS[(brand || "").toLowerCase()] || "Card";
}

function passesLuhn(digits) {
  let sum = 0;
  for (let place = 0; place < digits.length; place += 1) {
    let digit = Number(digits[digits.length - 1 - place]);
    if (place % 2) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}

function grouped(digits) {
  const parts = brandOf(digits) === "amex" ? [4, 6, 5] : [4, 4, 4, 4, 3];
  const groups = [];
  let from = 0;
  for (const size of parts) {
    if (from < digits.length) groups.push(digits.slice(from, from + size));
    from += size;
  }
  return groups.join(" ");
}

// "12/40", "1240", "12 / 2040" -> [12, 2040], or null.
function expiryOf(text) {
  const found = /^\s*(\d{1,2})\s*\/?\s*(\d{2}|\d{4})\s*$/.exec(text);
  if (!found) return null;
  const month = Number(found[1]);
  const year = found[2].length === 2 ? 2000 + Number(found[2]) : Number(found[2]);
  return month >= 1 && month <= 12 && year >= 2000 && year <= 2099 ? [month, year] : null;
}

const RULES = {
  number(text) {
    const digits = digitsOf(text);
    if (!digits) return "Enter the card number.";
    return digits.length < 13 || digits.length > 19 || !passesLuhn(digits) ? "This is not a valid card number." : "";
  },
  expiry(text) {
    if (!text.trim()) return "Enter the expiry date.";
    const found = expiryOf(text);
    if (!found) return "Enter the expiry date as MM/YY.";
    const now = new Date();
    const past = found[1] * 12 + found[0] < now.getFullYear() * 12 + now.getMonth() + 1;
    return past ? "This card has expired." : "";
  },
  cvv(text) {
    return /^\d{3,4}$/.test(text.trim()) ? "" : "Enter the 3 or 4 digit security code.";
  },
  routing_number(text) {
    return /^\d{9}$/.test(text.trim()) ? "" : "Enter the 9 digit routing number.";
  },
  account_number(text) {
    return /^\d{4,17}$/.test(text.trim()) ? "" : "Enter the account number, 4 to 17 digits.";
  },
  cardholder(text) {
    return text.trim() ? "" : "Enter the name.";
  },
  needed(text) {
    return text.trim() ? "" : "This is needed.";
  },
};
