// Every metric of the programs: its type, its labels, and what keeps their values few. The metrics are made from it, and the
// reference is written from it.

export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** The sentence of the reference, and what a scraper reads as help. */
  readonly means: string;
  /** By label: all its values, or what bounds them. */
  readonly labels: Readonly<Record<string, readonly string[] | string>>;
  readonly buckets?: readonly number[];
}

const RULE = 'rules of the config';
const CODE = 'problem codes, or empty';
const ISSUER = 'issuers of the config, and `(other)` for a login that claims none of them';

/** The API server's own edges (apiserver_admission_webhook_admission_duration_seconds), so that both can be laid side by side. */
const ADMISSION_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25];
const EXCHANGE_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Up to gateSeconds' default of 30 s, and the 120 s for needs that are only queued. */
const GATE_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** From a token that is checked with known keys to an API server that is waited for. */
const LOGIN_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const PATHS = ['mutate', 'validate/enforce', 'validate/warn', 'validate/audit'];
const WATCHES = ['namespaces', 'serviceaccounts', 'pullcredentials', 'pending-pods', 'managed-pods'];

/** Names stand without their prefix `keyless_pull_`. */
// oxfmt-ignore
export const metricTable = {
  admission_requests_total: { type: 'counter', means: 'reviews that were answered',
    labels: { path: PATHS, outcome: ['allow', 'patch', 'deny', 'refused'], reason: 'words of the program and problem codes' } },
  admission_duration_seconds: { type: 'histogram', means: "time from request to answer, at the edges of the API server's own histogram",
    labels: { path: PATHS }, buckets: ADMISSION_SECONDS },
  exchanges_total: { type: 'counter', means: 'credentials asked for at registries',
    labels: { rule: RULE, outcome: ['issued', 'failed'], code: CODE } },
  exchange_duration_seconds: { type: 'histogram', means: 'time of one exchange',
    labels: { rule: RULE, outcome: ['issued', 'failed'] }, buckets: EXCHANGE_SECONDS },
  gate_seconds: { type: 'histogram', means: 'how long pods were held: until their credentials were there, until one was refused, or until the time was up',
    labels: { outcome: ['ready', 'refused', 'late'] }, buckets: GATE_SECONDS },
  repairs_total: { type: 'counter', means: 'Secrets written again for failing pulls',
    labels: { rule: RULE, code: CODE } },
  pod_healings_total: { type: 'counter', means: 'pods that lack their credential, and what became of evicting them',
    labels: { outcome: ['reported', 'evicted', 'held', 'failed'] } },
  records_ended_total: { type: 'counter', means: 'PullCredentials that the worker deleted',
    labels: { reason: ['unused', 'account-gone', 'namespace-left', 'superseded'] } },
  findings_total: { type: 'counter', means: 'static pull secrets in reviewed pods',
    labels: { mode: ['enforce', 'warn', 'audit'], namespace: '200 names, then `(other)`', origin: ['explicit', 'inherited'], exempt: ['true', 'false'] } },
  credentials: { type: 'gauge', means: 'PullCredentials: `ready`, `pending`, `credential-expired` for all whose credential has ended or is lost, else what stands in the way',
    labels: { rule: `${RULE}, and \`(other)\` for what none of them covers`, state: 'problem codes, `ready`, `pending`, `(other)`' } },
  credential_expiry_seconds: { type: 'gauge', means: 'seconds until the first ready credential of the rule ends',
    labels: { rule: RULE } },
  credential_life_left_ratio: { type: 'gauge', means: 'the smallest share of its life that a ready credential of the rule has left: 0.3 and more while renewals succeed',
    labels: { rule: RULE } },
  certificate_days_left: { type: 'gauge', means: 'days until the serving certificate ends; NaN in a process without one', labels: {} },
  certificate_reload_ok: { type: 'gauge', means: '1 if the pair in the Secret or the files is the one that is served; NaN until it is known', labels: {} },
  exemption_days_left: { type: 'gauge', means: 'days until the first exemption that still holds ends; +Inf without any', labels: {} },
  watch_restarts_total: { type: 'counter', means: 'watches that had to begin again', labels: { watch: WATCHES } },
  watch_silent_seconds: { type: 'gauge', means: 'seconds since the API server was last heard: below 70 while all is well, for bookmarks come each minute',
    labels: { watch: WATCHES } },
  leader: { type: 'gauge', means: '1 for the worker that works', labels: {} },
  fence_up: { type: 'gauge', means: '1 if the fence refused what it must refuse, or the worker has the right that it guards in no namespace',
    labels: { fence: ['secrets', 'tokens'] } },
  config_reloads_total: { type: 'counter', means: 'changed configuration files that were read', labels: { outcome: ['taken', 'refused'] } },
  config_reload_ok: { type: 'gauge', means: '1 if the configuration file on disk is the one in use', labels: {} },
} as const satisfies Record<string, MetricRow>;

/** What the token server has instead; names of its own, so that no alert takes its certificate for the webhook's. */
// oxfmt-ignore
export const tokenServerMetricTable = {
  token_server_logins_total: { type: 'counter', means: 'logins: `gone` if the client left before the answer, `failed` for what is not its fault',
    labels: { issuer: ISSUER, outcome: ['issued', 'refused', 'anonymous', 'malformed', 'gone', 'failed'], code: CODE } },
  token_server_login_duration_seconds: { type: 'histogram', means: 'time from a login to its verdict; how long a refused one is held back is not in it',
    labels: { issuer: ISSUER, outcome: ['issued', 'refused', 'anonymous', 'malformed', 'gone', 'failed'] }, buckets: LOGIN_SECONDS },
  token_server_issuer_ready: { type: 'gauge', means: '1 once the issuer could be asked since the start; its keys are kept from then on',
    labels: { issuer: 'issuers of the config' } },
  token_server_certificate_days_left: { type: 'gauge', means: 'days until the serving certificate ends; NaN without `tls`', labels: {} },
  token_server_signing_certificate_days_left: { type: 'gauge', means: 'days until the last certificate of `signing.keys` ends', labels: {} },
} as const satisfies Record<string, MetricRow>;

/** What values beyond a bound are counted as. */
export const OTHER = '(other)';
