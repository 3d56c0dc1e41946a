// What the pages cannot do without a script: tell whether they follow what
// changes, and how much of an upload was sent. Whatever comes from the server
// is text that it has escaped.
(() => {
	"use strict";

	// The line by which a page hears that it changed

	const words = {
		on: "live",
		wait: "reconnecting…",
		off: "Not connected: what is shown may be old. Trying again…",
		out: "Your session has ended.",
	};
	let state = "";
	let silence = 0;

	const element = (name, text, className) => {
		const e = document.createElement(name);
		if (text) e.textContent = text;
		if (className) e.className = className;
		return e;
	};

	const line = (next) => {
		const live = document.getElementById("live");
		if (!live || state === next) return;
		state = next;
		live.hidden = false;
		live.className = "live " + next;
		live.replaceChildren(words[next]);
		if (next !== "out") return;
		const login = element("a", "Log in again");
		login.href = "/login";
		login.target = "_blank";
		live.append(" ", login);
	};

	// The page leads to the login by itself, unless somebody types into it.
	const ended = () => (document.querySelector(".panel[open]") ? line("out") : location.reload());

	// A line that is silent for too long is cut, though nobody said so.
	const heard = (connection) => {
		clearTimeout(silence);
		if (document.hidden) return; // the line rests
		silence = setTimeout(() => {
			line("off");
			connection.reader?.cancel();
		}, Number(document.getElementById("live").dataset.patience));
	};

	const on = (name, act) => document.addEventListener(name, act);
	on("htmx:sse:before:connection", (e) => {
		if (e.detail.connection.attempt > 0 && state === "on") line("wait");
	});
	on("htmx:sse:after:connection", (e) => {
		if (e.detail.connection.status !== 200) return;
		line("on");
		heard(e.detail.connection);
	});
	on("htmx:sse:after:message", (e) => heard(e.detail.connection));
	on("htmx:sse:error", (e) => (e.detail.status === 401 ? ended() : line("off")));
	on("visibilitychange", () => clearTimeout(silence));

	const failed = (e) => {
		const status = e.detail.ctx?.response?.status;
		if (e.target.id === "live") {
			line("off"); // which was never on: htmx leaves it at that
			setTimeout(() => htmx.trigger(e.target, "again"), 10000);
		} else if (e.target.matches("form") && !status) {
			const told = document.querySelector(e.target.getAttribute("hx-target"));
			told.replaceChildren(element("p", unreachable, "bad"));
		} else if (e.target.id === "page" && status === 401) {
			ended();
		}
	};
	on("htmx:error", failed);
	on("htmx:response:error", failed);
	on("htmx:before:swap", (e) => {
		// A page that cannot be fetched anew stays as it is.
		const status = e.detail.ctx?.response?.status;
		if (e.target.id === "page" && (status === 401 || status >= 500)) e.preventDefault();
	});

	// Publishing

	const unreachable = "The server cannot be reached, or ended the connection.";
	let uploads = 0;

	const megabytes = (n) => (n / (1 << 20)).toFixed(1) + " MiB";

	const send = (form) => {
		const bar = form.querySelector("progress");
		const button = form.querySelector("button[type=submit]");
		const stop = form.querySelector(".stop");
		const sent = form.querySelector(".sent");
		const outcome = form.querySelector(".outcome");
		const xhr = new XMLHttpRequest();
		const busy = (is) => {
			uploads += is ? 1 : -1;
			button.disabled = is;
			bar.hidden = stop.hidden = !is;
			sent.textContent = "";
		};
		const tell = (...nodes) => {
			busy(false);
			outcome.replaceChildren(...nodes);
		};
		xhr.upload.addEventListener("progress", (e) => {
			if (!e.lengthComputable) return;
			const percent = Math.floor((100 * e.loaded) / e.total);
			bar.value = percent;
			sent.textContent = e.loaded < e.total
				? `${percent} % of ${megabytes(e.total)}`
				: `${megabytes(e.total)} sent; the server checks them…`;
		});
		xhr.addEventListener("load", () => {
			tell();
			outcome.innerHTML = xhr.responseText;
			if (xhr.status !== 201) return;
			for (const input of form.querySelectorAll("input[type=file]")) input.value = "";
			form.elements.force.checked = false; // who insists says so each time
		});
		xhr.addEventListener("error", () => tell(element("p", "Nothing was published. " + unreachable, "bad")));
		xhr.addEventListener("abort", () => tell(element("p", "Stopped: nothing was published.")));
		stop.onclick = () => xhr.abort();
		bar.value = 0;
		outcome.replaceChildren();
		const body = new FormData(form);
		busy(true);
		xhr.open("POST", form.action);
		xhr.setRequestHeader("HX-Request", "true"); // a piece of a page, not all of it
		xhr.send(body);
	};

	on("submit", (e) => {
		if (!e.target.matches("form.publish")) return;
		e.preventDefault();
		send(e.target);
	});
	window.addEventListener("beforeunload", (e) => {
		if (uploads > 0) e.preventDefault(); // the browser asks
	});
})();
