// Keeps a page up to date: parts marked data-live are replaced when they
// change, and a log that is under way grows.
'use strict';

const offline = document.getElementById('offline');
const focusable = 'a, summary, [tabindex]';
const pause = ms => new Promise(done => setTimeout(done, ms));

async function refresh() {
  const res = await fetch(location.href, {headers: {Accept: 'text/html'}, cache: 'no-store'});
  if (res.redirected || res.status === 401 || res.status === 403) {
    location.reload(); // signed out meanwhile
    return false;
  }
  if (!res.ok) throw new Error(res.status);
  const next = new DOMParser().parseFromString(await res.text(), 'text/html');
  for (const part of document.querySelectorAll('[data-live]')) {
    const fresh = next.getElementById(part.id);
    if (!fresh || fresh.innerHTML === part.dataset.shown) continue;
    const selection = getSelection();
    if (!selection.isCollapsed && part.contains(selection.anchorNode)) continue; // somebody copies
    part.dataset.shown = fresh.innerHTML;
    // Focus, opened details and the scrolling of wide tables survive.
    const focus = [...part.querySelectorAll(focusable)].indexOf(document.activeElement);
    const open = [...part.querySelectorAll('details')].map(d => d.open);
    const left = [...part.querySelectorAll('.scroll')].map(d => d.scrollLeft);
    part.innerHTML = fresh.innerHTML;
    part.querySelectorAll('details').forEach((d, i) => { d.open = !!open[i]; });
    part.querySelectorAll('.scroll').forEach((d, i) => { d.scrollLeft = left[i] || 0; });
    if (focus >= 0) part.querySelectorAll(focusable)[focus]?.focus({preventScroll: true});
  }
  return !!next.body.dataset.refresh;
}

async function keepFresh() {
  const every = Number(document.body.dataset.refresh);
  for (let more = every > 0; more;) {
    await pause(every * 1000);
    if (document.hidden) continue;
    try {
      more = await refresh();
      offline.hidden = true;
    } catch {
      offline.hidden = false;
    }
  }
}

const codes = /\x1b(\[[0-9;?]*[ -\/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])|[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

function show(log, line) {
  const p = document.createElement('p');
  p.className = line.level;
  const time = document.createElement('time');
  time.dateTime = line.time;
  time.textContent = new Date(line.time).toISOString().slice(11, 19);
  p.append(time, ' ');
  if (line.scope) {
    const scope = document.createElement('b');
    scope.textContent = line.scope;
    p.append(scope, ' ');
  }
  const text = document.createElement('span');
  text.textContent = line.text.replace(codes, '');
  p.append(text);
  log.append(p);
}

// follow reads the log from where the page ends. It returns true when the run
// is final.
async function follow(log) {
  const res = await fetch(`/api/v1/runs/${encodeURIComponent(log.dataset.run)}/lines?follow=true&after=${log.dataset.after}`);
  if (res.status === 401 || res.status === 403) {
    delete log.dataset.follow;
    location.reload(); // signed out meanwhile
    return false;
  }
  if (!res.ok) throw new Error(res.status);
  const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return false;
    offline.hidden = true;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const records = (rest + value).split('\n');
    rest = records.pop();
    let ended = false;
    for (const record of records) {
      const event = JSON.parse(record);
      if (event.line) {
        show(log, event.line);
        log.dataset.after = event.line.seq;
      }
      ended ||= event.run && !['queued', 'running'].includes(event.run.state);
    }
    if (atEnd) log.scrollTop = log.scrollHeight;
    if (ended) return true;
  }
}

async function keepFollowing(log) {
  log.scrollTop = log.scrollHeight;
  while ('follow' in log.dataset) {
    try {
      if (await follow(log)) {
        delete log.dataset.follow;
        await refresh();
      }
    } catch {
      offline.hidden = false;
    }
    await pause(1000);
  }
}

// What does not change is left alone from the first look on.
for (const part of document.querySelectorAll('[data-live]')) part.dataset.shown = part.innerHTML;
keepFresh();
const log = document.getElementById('log');
if (log) keepFollowing(log);
