// What the pages cannot do without a script: tell whether they follow what
// changes, and how much of an upload was sent. Whatever comes from the server
// is put into the page as text.
(() => {
	"use strict";

	// The state of the line

	const line = (text, on) => {
		const live = document.getElementById("live");
		if (!live) return;
		live.hidden = false;
		live.classList.toggle("on", on);
		live.classList.toggle("off", !on);
		if (live.textContent !== text) live.textContent = text;
	};
	document.addEventListener("htmx:sse:after:connection", (e) => {
		if (e.detail.connection.status === 200) line("live", true);
	});
	document.addEventListener("htmx:sse:error", (e) => {
		if (e.detail.status === 401) location.reload(); // the session ended: the page leads to the login
		else line("not connected", false);
	});

	// Publishing

	const element = (name, text, className) => {
		const e = document.createElement(name);
		if (text) e.textContent = text;
		if (className) e.className = className;
		return e;
	};

	const list = (texts) => {
		const ul = element("ul");
		for (const text of texts) ul.append(element("li", text));
		return ul;
	};

	const answer = (xhr) => {
		try {
			return JSON.parse(xhr.responseText);
		} catch {
			return {};
		}
	};

	const published = (outcome, told) => {
		const p = element("p");
		const a = element("a", `${told.publish_id} ${told.version}`);
		a.href = "/app?" + new URLSearchParams({ name: told.publish_id });
		p.append(element("strong", told.changed ? "Published: " : "It was there already: "), a);
		outcome.replaceChildren(p, list(told.files.map((f) => `${f.name}, ${f.size} bytes: ${f.url}`)));
		if (told.forced) outcome.append(element("p", "Published although refused:"), list(told.forced));
		const warnings = (m) => (m.findings || []).filter((f) => f.severity !== "error");
		const found = (told.manifests || []).flatMap((m) => warnings(m).map((f) => `${m.name}: ${f.severity}: ${f.text}`));
		if (found.length) outcome.append(list(found));
	};

	const refused = (outcome, status, told) => {
		const detail = told.reasons ? "the manifest is refused:" : told.detail || `the server answered ${status}`;
		outcome.replaceChildren(element("p", "Nothing was published: " + detail, "bad"));
		if (told.reasons) outcome.append(list(told.reasons));
	};

	const send = (form) => {
		const bar = form.querySelector("progress");
		const button = form.querySelector("button");
		const outcome = form.querySelector(".outcome");
		const xhr = new XMLHttpRequest();
		const ended = (tell) => {
			bar.hidden = true;
			button.disabled = false;
			tell();
		};
		xhr.upload.addEventListener("progress", (e) => {
			if (e.lengthComputable) bar.value = (100 * e.loaded) / e.total;
		});
		xhr.addEventListener("load", () => ended(() => {
			const told = answer(xhr);
			if (xhr.status === 401) return location.reload();
			if (xhr.status !== 201) return refused(outcome, xhr.status, told);
			for (const input of form.querySelectorAll("input[type=file]")) input.value = "";
			form.elements.force.checked = false; // who insists says so each time
			published(outcome, told);
		}));
		xhr.addEventListener("error", () => ended(() => refused(outcome, 0, { detail: "the server cannot be reached, or ended the connection" })));
		bar.value = 0;
		bar.hidden = false;
		button.disabled = true;
		outcome.replaceChildren(element("p", "Sending…"));
		xhr.open("POST", form.action);
		xhr.send(new FormData(form));
	};

	document.addEventListener("submit", (e) => {
		if (!e.target.matches("form.publish")) return;
		e.preventDefault();
		send(e.target);
	});
})();
