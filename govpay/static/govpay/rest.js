// The browsable page of the REST face. What is tried out goes to this site alone, in the name of who is logged in.
"use strict";

const place = document.getElementById("govpay-rest");

SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    if (new URL(request.url, location.href).origin === location.origin) {
      request.headers["X-CSRFToken"] = place.dataset.csrf;
    }
    return request;
  },
});
