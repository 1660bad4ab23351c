// Poll the site, with longer and longer pauses, until the outcome of the payment is known. Then reload the page.
(function () {
  "use strict";
  let pause = 2000;

  async function look() {
    try {
      const answer = await fetch("?format=json", { headers: { Accept: "application/json" } });
      if (answer.ok && (await answer.json()).state !== "open") {
        window.location.reload();
        return;
      }
    } catch {
      // The connection failed. The next poll is a retry.
    }
    pause = Math.min(pause * 1.3, 15000);
    setTimeout(look, pause);
  }

  setTimeout(look, pause);
})();
