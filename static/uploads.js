// A file on its way: by itself once it is chosen or dropped, with its progress. Stands beside pages.js.
"use strict";

(() => {
  const words = document.getElementById("words").dataset;
  const drop = document.getElementById("drop");
  if (!drop) return;

  const input = drop.elements.file;
  const fault = document.getElementById("file-fault");
  const sending = drop.querySelector(".sending");
  const bar = sending.querySelector("progress");
  const told = sending.querySelector("[data-told]");
  const size = (bytes) => (bytes / 1e6).toLocaleString(locale, { style: "unit", unit: "megabyte", maximumFractionDigits: bytes < 1e7 ? 1 : 0 });
  let request = null;

  drop.classList.add("is-live");
  drop.querySelector(".drop-send").hidden = true;
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.hidden = false;
    button.addEventListener("click", () => input.click());
  }
  input.addEventListener("change", () => input.files.length && send(input.files[0]));
  sending.querySelector("[data-cancel]").addEventListener("click", () => request?.abort());

  // A file that misses the zone would otherwise replace the page.
  let over = 0;
  const shown = () => drop.classList.toggle("is-over", over > 0);
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => carriesFiles(event) && ((over += 1), shown()));
  addEventListener("dragleave", (event) => carriesFiles(event) && ((over -= 1), shown()));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over = 0;
    shown();
    if (!request && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });

  function tell(message) {
    fault.textContent = message;
    fault.hidden = !message;
  }

  function end(message) {
    request = null;
    drop.classList.remove("is-sending");
    sending.hidden = true;
    input.value = "";
    tell(message);
  }

  function send(file) {
    const limit = Number(drop.dataset.limit);
    if (file.size > limit) {
      end(words.tooLarge.replace("%(size)s", size(file.size)).replace("%(limit)s", drop.dataset.limitText));
      return;
    }
    tell("");
    const form = new FormData(drop);
    form.set("file", file);
    request = new XMLHttpRequest();
    request.open("POST", drop.action);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => {
      bar.value = event.loaded / event.total;
      told.textContent = `${size(event.loaded)} / ${size(event.total)} ${words.sent}`;
    });
    request.upload.addEventListener("load", () => {
      bar.removeAttribute("value");
      told.textContent = words.reads;
    });
    request.addEventListener("load", () => {
      if (request.status === 401) return location.reload();
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // A proxy's page: told in our words.
      }
      if (request.status === 201) location.assign(answer.url);
      else end(answer.message || answer.detail || words.failed);
    });
    request.addEventListener("error", () => end(words.lost));
    request.addEventListener("abort", () => end(words.cancelled));
    sending.querySelector("[data-file]").textContent = file.name;
    bar.value = 0;
    told.textContent = "";
    sending.hidden = false;
    drop.classList.add("is-sending");
    request.send(form);
  }

  // Chosen before this script ran.
  if (input.files.length) send(input.files[0]);
})();
