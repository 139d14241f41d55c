// Shows the description of the interface; calls from a session of the pages carry its token.
"use strict";

(() => {
  const place = document.getElementById("swagger");
  const csrf = () => document.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";
  window.SwaggerUIBundle({
    url: place.dataset.description,
    domNode: place,
    deepLinking: true,
    docExpansion: "none",
    requestInterceptor: (request) => {
      request.headers["X-CSRFToken"] = csrf();
      return request;
    },
  });
})();
