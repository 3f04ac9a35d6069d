// Octokit, as npm has it, from fork to deployment. It ends with the first
// thing that is not as GitHub would have it.
import assert from "node:assert/strict";
import http from "node:http";
import { Octokit } from "@octokit/rest";
import { verify } from "@octokit/webhooks-methods";

const { FORGE, ADA, BEN, MIA } = process.env;
const problems = [];
const log = { debug() {}, info() {}, warn: (m) => problems.push(m), error() {} };
const as = (auth) => new Octokit({ auth, baseUrl: FORGE, log });
const [ada, ben, mia] = [ADA, BEN, MIA].map(as);
const here = { owner: "hub", repo: "deployment" };
const fails = (status, call) => assert.rejects(call, (e) => e.status === status || (console.error(e), false));

// A webhook, verified by GitHub's own code.
const secret = "octokit's secret";
const events = [];
const sink = http.createServer((req, res) => {
  let body = "";
  req.on("data", (d) => (body += d));
  req.on("end", async () => {
    assert(await verify(secret, body, req.headers["x-hub-signature-256"]), "a delivery with another signature");
    events.push({ name: req.headers["x-github-event"], payload: JSON.parse(body) });
    res.end();
  });
});
await new Promise((ready) => sink.listen(0, "127.0.0.1", ready));
const hook = await mia.rest.repos.createWebhook({ ...here, events: ["*"], config: { url: `http://127.0.0.1:${sink.address().port}/`, content_type: "json", secret } });

const me = await ada.rest.users.getAuthenticated();
assert.deepEqual([me.data.login, me.headers["x-ratelimit-limit"]], ["ada", "15000"]);
await fails(401, as("hsp_wrong").rest.users.getAuthenticated());
await fails(404, ada.graphql("{ viewer { login } }"));

const fork = (await ada.rest.repos.createFork(here)).data;
assert.equal(fork.full_name, "ada/deployment");
assert.equal(fork.parent.full_name, "hub/deployment");
const mine = { owner: "ada", repo: "deployment" };
const start = (await ada.rest.repos.getBranch({ ...mine, branch: "staging" })).data.commit.sha;
await ada.rest.git.createRef({ ...mine, ref: "refs/heads/feature/numpy", sha: start });
const content = (text) => Buffer.from(text).toString("base64");
const made = (await ada.rest.repos.createOrUpdateFileContents({ ...mine, branch: "feature/numpy", path: "images/ü numpy.txt", message: "Add numpy", content: content("one\n") })).data;
await fails(422, ada.rest.repos.createOrUpdateFileContents({ ...mine, branch: "feature/numpy", path: "images/ü numpy.txt", message: "Again", content: "" }));
await fails(409, ada.rest.repos.createOrUpdateFileContents({ ...mine, branch: "feature/numpy", path: "images/ü numpy.txt", message: "Again", content: "", sha: start }));
await ada.rest.repos.createOrUpdateFileContents({ ...mine, branch: "feature/numpy", path: "images/ü numpy.txt", message: "Better", content: content("two\n"), sha: made.content.sha });
const read = (await ada.rest.repos.getContent({ ...mine, ref: "feature/numpy", path: "images/ü numpy.txt" })).data;
assert.equal(Buffer.from(read.content, "base64").toString(), "two\n");

await fails(422, ada.rest.pulls.create({ ...here, title: "", head: "ada:feature/numpy", base: "staging" }));
const pull = (await ada.rest.pulls.create({ ...here, title: "Add numpy <b>", body: "please", head: "ada:feature/numpy", base: "staging" })).data;
const at = { ...here, pull_number: pull.number };
const issue = { ...here, issue_number: pull.number };
const sha = pull.head.sha;
assert.deepEqual([pull.commits, pull.changed_files, pull.mergeable], [2, 1, true]);
assert.equal((await ben.rest.repos.compareCommitsWithBasehead({ ...here, basehead: "staging...ada:feature/numpy" })).data.ahead_by, 2);
assert.deepEqual((await ben.paginate(ben.rest.pulls.listCommits, { ...at, per_page: 1 })).map((c) => c.commit.message), ["Add numpy", "Better"]);
assert.equal((await ben.paginate(ben.rest.pulls.listFiles, at))[0].filename, "images/ü numpy.txt");
assert.match((await ben.rest.pulls.get({ ...at, mediaType: { format: "diff" } })).data, /^diff --git /);
const first = await ben.rest.pulls.list({ ...here, state: "open", head: "ada:feature/numpy" });
await fails(304, ben.rest.pulls.list({ ...here, state: "open", head: "ada:feature/numpy", headers: { "if-none-match": first.headers.etag } }));
assert.equal((await ben.request("HEAD /repos/{owner}/{repo}", here)).status, 200);

await mia.rest.repos.updateBranchProtection({ ...here, branch: "staging", enforce_admins: true, restrictions: null,
  required_status_checks: { strict: true, contexts: ["hubship/plan"] }, required_pull_request_reviews: { required_approving_review_count: 1, bypass_pull_request_allowances: { users: ["ben"] } } });
const rules = (await mia.rest.repos.getBranchProtection({ ...here, branch: "staging" })).data;
assert.deepEqual(rules.required_pull_request_reviews.bypass_pull_request_allowances.users.map((u) => u.login), ["ben"]);
await mia.rest.repos.updateBranchProtection({ ...here, branch: "staging", enforce_admins: true, restrictions: null,
  required_status_checks: { strict: true, contexts: ["hubship/plan"] }, required_pull_request_reviews: { required_approving_review_count: 1 } });
await fails(405, ben.rest.pulls.merge(at));
await fails(403, mia.rest.repos.createOrUpdateFileContents({ ...here, path: "sneak", message: "Sneak in", content: "" }));
await ada.rest.pulls.requestReviewers({ ...at, reviewers: ["ben"] });
await ada.rest.issues.createComment({ ...issue, body: "ready" });
assert.deepEqual((await ben.rest.issues.addLabels({ ...issue, labels: ["hub: data8"] })).data.map((l) => l.name), ["hub: data8"]);
assert.equal((await ada.rest.issues.listComments(issue)).data.length, 1);
await fails(422, ada.rest.pulls.createReview({ ...at, event: "APPROVE" }));
await ben.rest.pulls.createReview({ ...at, event: "APPROVE", body: "good", commit_id: sha });
const status = { ...here, sha, state: "success", context: "hubship/plan", target_url: "https://hubship.example/runs/1" };
await fails(403, ben.rest.repos.createCommitStatus(status));
const set = (await mia.rest.repos.createCommitStatus(status)).data;
assert.equal((await mia.rest.repos.createCommitStatus(status)).data.id, set.id);
assert.equal((await ada.rest.repos.getCombinedStatusForRef({ ...here, ref: sha })).data.state, "success");
const check = (await ben.rest.checks.create({ ...here, name: "tests", head_sha: sha, status: "in_progress" })).data;
await ben.rest.checks.update({ ...here, check_run_id: check.id, conclusion: "success", output: { title: "t", summary: "s" } });
const merged = (await ben.rest.pulls.merge({ ...at, sha, merge_method: "squash" })).data;
assert.equal((await ada.rest.pulls.get(at)).data.merge_commit_sha, merged.sha);
assert.equal((await ada.rest.repos.mergeUpstream({ ...mine, branch: "staging" })).data.merge_type, "fast-forward");

const deploy = { ...here, ref: "staging", environment: "staging", auto_merge: false, required_contexts: [], payload: { run: 1 } };
await fails(403, ben.rest.repos.createDeployment(deploy));
const deployment = (await mia.rest.repos.createDeployment(deploy)).data;
assert.equal(deployment.sha, merged.sha);
await mia.rest.repos.createDeploymentStatus({ ...here, deployment_id: deployment.id, state: "success", environment_url: "https://hub.example" });
assert.equal((await ada.rest.repos.listDeploymentStatuses({ ...here, deployment_id: deployment.id })).data[0].state, "success");
assert.equal((await ada.rest.repos.listDeployments({ ...here, environment: "staging" })).data.length, 1);
await ada.rest.repos.delete(mine);
await fails(404, ada.rest.repos.get(mine));

const wanted = ["ping", "fork", "pull_request", "issue_comment", "pull_request_review", "status", "check_run", "push", "deployment", "deployment_status"];
for (let i = 0; i < 200 && wanted.some((w) => !events.some((e) => e.name === w)); i++) await new Promise((r) => setTimeout(r, 25));
assert.deepEqual(wanted.filter((w) => !events.some((e) => e.name === w)), [], "events that never came");
assert.equal(events.filter((e) => e.name === "status").length, 1);
const deliveries = await mia.paginate(mia.rest.repos.listWebhookDeliveries, { ...here, hook_id: hook.data.id, per_page: 5 });
assert(deliveries.length >= wanted.length, "deliveries are missing");
assert.deepEqual(problems, []);
sink.close();
sink.closeAllConnections();
