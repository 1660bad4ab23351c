// The browsable page of the REST interface. "Try it out" sends requests only to this site, as the logged-in user.
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
