// Asks every few seconds, less and less often, until the platform's word has come.
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
      // No connection just now: it is tried again.
    }
    pause = Math.min(pause * 1.3, 15000);
    setTimeout(look, pause);
  }

  setTimeout(look, pause);
})();
