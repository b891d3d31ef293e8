// Fetches the page again and puts its <main> in place of ours, as long as somebody looks. Says when it cannot.
const stale = document.getElementById("stale");

async function refresh() {
  const main = document.getElementById("main");
  try {
    const reply = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.getElementById("main");
    if (fresh === null) {
      location.reload(); // Something else answers here now: Dagster is up.
      return;
    }
    if (fresh.innerHTML !== main.innerHTML && !main.contains(document.activeElement)) {
      main.replaceChildren(...fresh.childNodes);
      document.title = page.title;
    }
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}

async function watch() {
  const seconds = Number(document.getElementById("main").dataset.refresh);
  if (!document.hidden) await refresh();
  setTimeout(watch, seconds * 1000);
}

setTimeout(watch, 3000);
