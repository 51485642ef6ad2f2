"""How the page to try a model looks, beyond gradio's own theme; light and dark, from a phone's width up."""

from __future__ import annotations

# gradio puts its own class before every selector and splits at commas to do so: no :is() with commas here.
STYLE = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
.gradio-container .main { padding: 16px min(32px, 3.5vw) !important; }
/* After a file beyond the limit gradio covers the field with "Error"; its note in the corner says why. */
#drop > [data-testid="status-tracker"] { display: none !important; }
#head, #message, #head .html-container, #message .html-container { padding: 0 !important; }
#head h1 { font-size: 1.6rem; font-weight: 650; margin: 0; }
#head .about { margin: 0.2rem 0 0; opacity: 0.72; overflow-wrap: anywhere; }

.message {
  padding: 0.55rem 0.8rem; border: 1px solid var(--border-color-primary); border-radius: 6px;
  color: var(--body-text-color); overflow-wrap: anywhere;
}
.message.error { background: rgba(220, 38, 38, 0.1); border-color: rgba(220, 38, 38, 0.6); }

#picture .image-container, #picture .image-container > button, #picture .image-frame { width: 100%; }
#picture .image-frame img { width: 100%; height: auto; max-height: 75vh; object-fit: contain; }

#legend {
  border: 1px solid var(--border-color-primary); border-radius: 6px; padding: 0.4rem 0.9rem !important;
}
#legend .html-container { padding: 0 !important; }
#legend table.legend { width: 100%; border: 0 !important; border-collapse: collapse; margin: 0; }
#legend table.legend tr, #legend table.legend th, #legend table.legend td {
  border: 0 !important; background: none !important;
}
#legend table.legend th, #legend table.legend td { padding: 0.2rem 0 !important; text-align: left; }
#legend table.legend th {
  font-weight: 500; padding: 0.2rem 0.6rem 0.2rem 1.5em !important; text-indent: -1.5em;
}
#legend table.legend td.share {
  text-align: right; white-space: nowrap; width: 4.4em; font-variant-numeric: tabular-nums;
}
#legend .swatch {
  display: inline-block; width: 0.95em; height: 0.95em; margin-right: 0.55em; border-radius: 3px;
  text-indent: 0; vertical-align: -0.12em; box-shadow: 0 0 0 1px rgba(128, 128, 128, 0.6);
}
#legend .meter { width: 24%; }
#legend .meter i {
  display: block; height: 0.6em; min-width: 2px; border-radius: 3px;
  box-shadow: 0 0 0 1px rgba(128, 128, 128, 0.45);
}
#legend .absent { margin: 0.4rem 0 0.2rem; font-size: 0.9em; opacity: 0.8; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

#examples .gallery-container { padding-top: 1.7rem; }
#examples .grid-wrap { min-height: 0 !important; height: auto !important; padding-top: 0; }
#examples .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)) !important; padding-top: 0;
}
#examples .gallery-item, #examples .gallery-item button { aspect-ratio: 16 / 9; height: auto; }
"""

# gradio knows only to refuse other files; this makes the browser's dialog offer images, and no more.
ONLY_IMAGES = """() => {
  const accept = () => document.querySelectorAll('#drop input[type=file]').forEach((input) => {
    if (input.accept !== 'image/*') input.accept = 'image/*';
  });
  accept();
  new MutationObserver(accept).observe(document.body, { childList: true, subtree: true });
}"""
