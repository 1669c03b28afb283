// What Prometheus would have scraped over three hours, minute by minute: of a cluster where all is well, and for each alert
// what goes wrong, when it fires, and when it is over. In the notation of promtool's rule tests.

/** Values by series. `pod` is a label of the scrape, not of ours. */
export type Scraped = Readonly<Record<string, string>>;

/** What is no number cannot be repeated with `x`. */
const always = (value: string) => Array.from({ length: 181 }, () => value).join(' ');

export const healthy: Scraped = {
  'keyless_pull_leader{pod="a"}': '1x180',
  'keyless_pull_leader{pod="b"}': '0x180',
  'keyless_pull_fence_up{fence="secrets"}': '1x180',
  'keyless_pull_fence_up{fence="tokens"}': '1x180',
  'keyless_pull_credential_life_left_ratio{rule="team",pod="a"}': '0.35x180',
  'keyless_pull_credentials{rule="team",state="ready",pod="a"}': '50x180',
  'keyless_pull_credentials{rule="team",state="ready",pod="b"}': '50x180',
  // One team's mistake, and what a rule of yesterday left: nobody is woken.
  'keyless_pull_credentials{rule="team",state="exchange-refused",pod="a"}': '2x180',
  'keyless_pull_credentials{rule="(other)",state="credential-expired",pod="a"}': '9x180',
  'keyless_pull_exchanges_total{rule="team",outcome="issued",code=""}': '0+6x180',
  'keyless_pull_exchanges_total{rule="team",outcome="failed",code="exchange-refused"}': '0+20x180',
  'keyless_pull_gate_seconds_count{outcome="ready"}': '0+5x180',
  'keyless_pull_gate_seconds_count{outcome="refused"}': '0+1x180',
  'keyless_pull_gate_seconds_count{outcome="late"}': '0x180',
  'keyless_pull_admission_requests_total{path="mutate",outcome="patch",reason="gated"}': '0+600x180',
  // Anybody can send what is no review.
  'keyless_pull_admission_requests_total{path="mutate",outcome="refused",reason="review-malformed"}':
    '0+600x180',
  'keyless_pull_admission_duration_seconds_bucket{path="mutate",le="0.1"}': '0+1199x180',
  'keyless_pull_admission_duration_seconds_count{path="mutate"}': '0+1200x180',
  'keyless_pull_watch_silent_seconds{watch="namespaces"}': '60x180',
  'keyless_pull_config_reload_ok{pod="a"}': '1x180',
  'keyless_pull_certificate_days_left{pod="a"}': '60x180',
  // A worker has no certificate.
  'keyless_pull_certificate_days_left{pod="b"}': always('NaN'),
  keyless_pull_exemption_days_left: always('Inf'),
  'keyless_pull_findings_total{mode="warn",namespace="shop",origin="explicit",exempt="true"}': '0+1x180',
  'keyless_pull_token_server_issuer_ready{issuer="https://shop.example",pod="c"}': '1x180',
  'keyless_pull_token_server_issuer_ready{issuer="https://shop.example",pod="d"}': '1x180',
  'keyless_pull_token_server_logins_total{issuer="https://shop.example",outcome="issued",code=""}':
    '0+30x180',
  // Anybody can try, and a runtime may hang up.
  'keyless_pull_token_server_logins_total{issuer="https://shop.example",outcome="refused",code="login-refused"}':
    '0+60x180',
  'keyless_pull_token_server_logins_total{issuer="https://shop.example",outcome="gone",code=""}': '0+60x180',
  'keyless_pull_token_server_logins_total{issuer="https://shop.example",outcome="failed",code=""}': '0+1x180',
  'keyless_pull_token_server_certificate_days_left{pod="c"}': '60x180',
  // Behind a proxy that ends TLS.
  'keyless_pull_token_server_certificate_days_left{pod="d"}': always('NaN'),
  'keyless_pull_token_server_signing_certificate_days_left{pod="c"}': '60x180',
  'apiserver_admission_webhook_rejection_count{name="enforce.keyless-pull.dev",type="validating",operation="CREATE",error_type="no_error",rejection_code="403"}':
    '0+5x180',
  'apiserver_admission_webhook_rejection_count{name="policy.other.example",type="validating",operation="CREATE",error_type="calling_webhook_error",rejection_code="0"}':
    '0+5x180',
};

export interface Scenario {
  readonly alert: string;
  readonly what: string;
  /** Instead of what is healthy, and besides. */
  readonly scraped: Scraped;
  /** Minutes: not yet, firing, over. */
  readonly notYet: number;
  readonly fires: number;
  readonly over: number;
  /** Of the alert, besides its severity. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Wrong from minute 31 to 90. */
const between = (well: string, wrong: string) => `${well}x30 ${wrong}x59 ${well}x90`;
const risingBetween = (step: number) => `0x30 0+${step}x59 ${60 * step}x90`;

export const scenarios: readonly Scenario[] = [
  {
    alert: 'KeylessPullWorkerMissing',
    what: 'nobody holds the Lease',
    scraped: { 'keyless_pull_leader{pod="a"}': between('1', '0') },
    notYet: 32,
    fires: 34,
    over: 92,
    labels: {},
  },
  {
    alert: 'KeylessPullWorkerMissing',
    what: 'no process is scraped any more',
    scraped: {
      'keyless_pull_leader{pod="a"}': between('1', '_'),
      'keyless_pull_leader{pod="b"}': between('0', '_'),
    },
    notYet: 34,
    fires: 40,
    over: 92,
    labels: {},
  },
  {
    alert: 'KeylessPullWebhookUnreachable',
    what: 'calls of an entry that fails closed end in nothing',
    scraped: {
      'apiserver_admission_webhook_rejection_count{name="mutate.keyless-pull.dev",type="admit",operation="CREATE",error_type="calling_webhook_error",rejection_code="0"}':
        risingBetween(3),
    },
    notYet: 32,
    fires: 36,
    over: 100,
    labels: { name: 'mutate.keyless-pull.dev' },
  },
  {
    alert: 'KeylessPullWebhookUnreachable',
    what: 'calls of an entry that fails open end in nothing',
    scraped: {
      'apiserver_admission_webhook_fail_open_count{name="warn.keyless-pull.dev",type="validating"}':
        risingBetween(3),
    },
    notYet: 32,
    fires: 36,
    over: 100,
    labels: { name: 'warn.keyless-pull.dev' },
  },
  {
    alert: 'KeylessPullFencesMissing',
    what: 'somebody deleted the fence on tokens',
    scraped: { 'keyless_pull_fence_up{fence="tokens"}': between('1', '0') },
    notYet: 31,
    fires: 33,
    over: 92,
    labels: { fence: 'tokens' },
  },
  {
    alert: 'KeylessPullCredentialExpiringSoon',
    what: 'a credential is not renewed',
    scraped: { 'keyless_pull_credential_life_left_ratio{rule="team",pod="a"}': between('0.35', '0.14') },
    notYet: 31,
    fires: 33,
    over: 92,
    labels: { rule: 'team' },
  },
  {
    alert: 'KeylessPullCredentialExpired',
    what: 'one of fifty accounts has lost its credential',
    scraped: {
      'keyless_pull_credentials{rule="team",state="credential-expired",pod="a"}': '_x31 1x59 stale',
    },
    notYet: 31,
    fires: 33,
    over: 92,
    labels: { rule: 'team' },
  },
  {
    alert: 'KeylessPullCredentialsNotReady',
    what: 'the registry refuses more than one team',
    scraped: {
      'keyless_pull_credentials{rule="team",state="exchange-refused",pod="a"}': between('2', '8'),
    },
    notYet: 44,
    fires: 47,
    over: 92,
    labels: { rule: 'team' },
  },
  {
    alert: 'KeylessPullExchangesFailing',
    what: 'the token service is away',
    scraped: {
      'keyless_pull_exchanges_total{rule="team",outcome="failed",code="exchange-unreachable"}':
        risingBetween(60),
    },
    notYet: 40,
    fires: 65,
    over: 120,
    labels: { rule: 'team' },
  },
  {
    alert: 'KeylessPullPodsReleasedLate',
    what: 'a single pod waited in vain',
    scraped: { 'keyless_pull_gate_seconds_count{outcome="late"}': '0x30 1x150' },
    notYet: 34,
    fires: 38,
    over: 60,
    labels: {},
  },
  {
    alert: 'KeylessPullWebhookErrors',
    what: 'one review in fifty has no verdict',
    scraped: {
      'keyless_pull_admission_requests_total{path="mutate",outcome="refused",reason="not-ready"}':
        risingBetween(24),
    },
    notYet: 34,
    fires: 42,
    over: 100,
    labels: { path: 'mutate' },
  },
  {
    alert: 'KeylessPullWebhookSlow',
    what: 'one review in fifty takes more than 100 ms',
    scraped: {
      'keyless_pull_admission_duration_seconds_bucket{path="mutate",le="0.1"}':
        '0+1199x30 37145+1176x59 107729+1199x90',
    },
    notYet: 38,
    fires: 48,
    over: 110,
    labels: { path: 'mutate' },
  },
  {
    alert: 'KeylessPullWatchSilent',
    what: 'a firewall forgot the connection',
    scraped: { 'keyless_pull_watch_silent_seconds{watch="namespaces"}': between('60', '150') },
    notYet: 32,
    fires: 34,
    over: 92,
    labels: { watch: 'namespaces' },
  },
  {
    alert: 'KeylessPullConfigRefused',
    what: 'one replica has refused the changed file',
    scraped: { 'keyless_pull_config_reload_ok{pod="c"}': between('1', '0') },
    notYet: 34,
    fires: 38,
    over: 92,
    labels: {},
  },
  {
    alert: 'KeylessPullCertificateExpiring',
    what: 'one replica serves with an old certificate',
    scraped: { 'keyless_pull_certificate_days_left{pod="c"}': between('60', '6.5') },
    notYet: 44,
    fires: 48,
    over: 92,
    labels: {},
  },
  {
    alert: 'KeylessPullExemptionEnding',
    what: 'an exemption has thirteen days',
    scraped: { keyless_pull_exemption_days_left: between('20', '13') },
    notYet: 44,
    fires: 48,
    over: 92,
    labels: {},
  },
  {
    alert: 'KeylessPullStaticSecretsFound',
    what: 'pods with static pull secrets pass',
    scraped: {
      'keyless_pull_findings_total{mode="audit",namespace="legacy",origin="inherited",exempt="false"}':
        risingBetween(2),
    },
    notYet: 40,
    fires: 50,
    over: 155,
    labels: { mode: 'audit' },
  },
  {
    alert: 'KeylessPullStaticSecretsFound',
    what: 'a single pod was the first of its namespace',
    scraped: {
      'keyless_pull_findings_total{mode="warn",namespace="legacy",origin="inherited",exempt="false"}':
        '_x30 1x150',
    },
    notYet: 40,
    fires: 50,
    over: 95,
    labels: { mode: 'warn' },
  },
  {
    alert: 'KeylessPullTokenServerMissing',
    what: 'no token server is scraped any more',
    scraped: {
      'keyless_pull_token_server_issuer_ready{issuer="https://shop.example",pod="c"}': between('1', '_'),
      'keyless_pull_token_server_issuer_ready{issuer="https://shop.example",pod="d"}': between('1', '_'),
    },
    notYet: 34,
    fires: 40,
    over: 92,
    labels: {},
  },
  {
    alert: 'KeylessPullTokenServerLoginsFailing',
    what: 'an API server that is asked each time is away',
    scraped: {
      'keyless_pull_token_server_logins_total{issuer="https://edge.example",outcome="failed",code=""}':
        risingBetween(10),
    },
    notYet: 34,
    fires: 50,
    over: 100,
    labels: { issuer: 'https://edge.example' },
  },
  {
    alert: 'KeylessPullTokenServerIssuerUnready',
    what: 'one replica began while the issuer was away',
    scraped: {
      'keyless_pull_token_server_issuer_ready{issuer="https://shop.example",pod="d"}': between('1', '0'),
    },
    notYet: 34,
    fires: 40,
    over: 92,
    labels: { issuer: 'https://shop.example' },
  },
  {
    alert: 'KeylessPullTokenServerCertificateExpiring',
    what: 'nobody has replaced it',
    scraped: { 'keyless_pull_token_server_certificate_days_left{pod="c"}': between('60', '6') },
    notYet: 44,
    fires: 48,
    over: 92,
    labels: {},
  },
  {
    alert: 'KeylessPullTokenServerSigningKeyEnding',
    what: 'no later one is there',
    scraped: { 'keyless_pull_token_server_signing_certificate_days_left{pod="c"}': between('60', '6') },
    notYet: 44,
    fires: 48,
    over: 92,
    labels: {},
  },
];
