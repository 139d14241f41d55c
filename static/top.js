// On a phone the main navigation and the tabs scroll: where one is, is brought into sight.
"use strict";

for (const here of document.querySelectorAll(":is(.top-nav, .tabs) > [aria-current]")) {
  const bar = here.parentElement;
  bar.scrollLeft += here.getBoundingClientRect().left - bar.getBoundingClientRect().left - (bar.clientWidth - here.clientWidth) / 2;
}
