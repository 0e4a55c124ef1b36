// Live parts: an element with data-live is kept as the daemon tells it. Everything works without.
for (const part of document.querySelectorAll("[data-live]")) {
  const events = new EventSource(part.dataset.live);
  events.onmessage = (event) => {
    // text in an open field or a focused button is not taken away
    if (!part.contains(document.activeElement)) part.innerHTML = event.data;
  };
  addEventListener("pagehide", () => events.close());
}
// A check that is under way asks again by itself.
const waiting = document.querySelector("[data-again]");
if (waiting) setTimeout(() => location.reload(), Number(waiting.dataset.again) * 1000);
// A file that is chosen is shown, so that it can be changed before it is checked.
const file = document.querySelector("input[type=file][data-into]");
if (file) file.addEventListener("change", async () => {
  if (file.files.length) document.getElementById(file.dataset.into).value = await file.files[0].text();
});
