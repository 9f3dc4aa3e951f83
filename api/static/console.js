// A page that refreshes itself does so only while somebody can see it.
document.addEventListener("htmx:config:request", (event) => {
  const polls = event.detail.ctx.sourceElement?.getAttribute("hx-trigger")?.startsWith("every");
  if (polls && document.hidden) event.preventDefault();
});
