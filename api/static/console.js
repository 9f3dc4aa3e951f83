// The pages are written by the reader's clock from the next one on: the server has to know it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const secure = location.protocol === "https:" ? "; secure" : "";
document.cookie = `forewarn_zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;

// A page that refreshes itself does so only while somebody can see it.
document.addEventListener("htmx:config:request", (event) => {
  const polls = event.detail.ctx.sourceElement?.getAttribute("hx-trigger")?.startsWith("every");
  if (polls && document.hidden) event.preventDefault();
});
