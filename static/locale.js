// The language of the page, as people write dates and numbers in it where they are.
"use strict";

const locale = navigator.languages.find((language) => language.startsWith(document.documentElement.lang)) ?? document.documentElement.lang;
