// A renewal as it happens, without waiting 36 minutes for it: the rule's tokens become shorter-lived, so what was issued
// under the old rule is renewed in place.
import { writeFileSync } from 'node:fs';
import type { PullCredentialRecord } from '../../../src/core/pull-credential-record.ts';
import { waitUntil } from '../../processes.ts';
import { ACCOUNTS, TEAM } from '../manifests.ts';
import { textDifference } from '../pod-difference.ts';
import { LONG_LIFE_SECONDS, SHORT_LIFE_SECONDS, serveConfig } from '../program-configs.ts';
import type { Step } from '../stage.ts';
import { loginOf, recordsOfTeam, secretOfTeam } from '../stage.ts';
import { checkPull } from './pull.ts';

/** The config is looked at every five seconds; the rest is work. */
const RENEWAL_DEADLINE_MS = 30_000;

/** A life counts from the request for the token; on a busy machine the answer takes its time, 30 s at most. */
const SLACK_SECONDS = 30;

/** For kubectl's custom-columns-file: headings, and under each what it shows. */
const COLUMNS = `\
ACCOUNT                   EXPIRES           RENEWAL           TOKEN-ID        SECRET-UID
.spec.serviceAccount.name .status.expiresAt .status.refreshAt .status.tokenID .status.secretUID
`;

export const renewal: Step = {
  title: '7  Renewal',
  sentence:
    "Left alone, an hour's credential is renewed after 36 to 42 minutes. A rule that changes is quicker: the worker takes " +
    'the new config and renews what was made under the old one, in the ordinary way, into the same Secret.',
  concerns: ['keyless-pull'],
  async run(stage) {
    const { screen, shell, registry } = stage;
    writeFileSync('life.columns', COLUMNS);
    const show = ['get', 'pullcred', '-n', TEAM, '-o', 'custom-columns-file=life.columns'];
    await shell.kubectl(show);
    const before = await recordsOfTeam(stage);
    const passwordBefore = (await loginOf(stage, 'report')).password;

    screen.say('\nkeyless-pull.yaml, while it runs:');
    const config = serveConfig(registry.host, SHORT_LIFE_SECONDS);
    screen.difference(textDifference(serveConfig(registry.host, LONG_LIFE_SECONDS), config));
    writeFileSync(stage.configFile, config);
    const after = await screen.check('the config is taken and both credentials are renewed', async () => {
      await waitUntil(
        'the credentials are renewed',
        async () => areRenewed(before, await recordsOfTeam(stage)),
        {
          deadlineMs: RENEWAL_DEADLINE_MS,
        },
      );
      return recordsOfTeam(stage);
    });
    await shell.kubectl(show);

    for (const account of ACCOUNTS) {
      const [old, now] = [before.get(account), after.get(account)];
      const secret = await secretOfTeam(stage, now?.secretName ?? '');
      screen.expect(
        `${account}: another token in the same Secret, which has kept its uid`,
        old?.uid === now?.uid &&
          old?.status?.secretUid === secret.metadata.uid &&
          old.status.tokenId !== now?.status?.tokenId,
        JSON.stringify({ old, now, uid: secret.metadata.uid }),
      );
      const [life, until] = spansOf(now);
      screen.expect(
        `${account}: it lives ${life} s and will be renewed after ${until} s, at half its life because that is short`,
        Math.abs(life - SHORT_LIFE_SECONDS) <= SLACK_SECONDS &&
          until <= life * 0.5 + 1 &&
          until >= life * 0.45 - 1,
      );
    }
    const login = await loginOf(stage, 'report');
    screen.expect('the password is another one', login.password !== passwordBefore);
    await checkPull(stage, 'report', login);
  },
};

function areRenewed(
  before: ReadonlyMap<string, PullCredentialRecord>,
  now: ReadonlyMap<string, PullCredentialRecord>,
): boolean {
  return ACCOUNTS.every((account) => {
    const status = now.get(account)?.status;
    return status?.isReady === true && status.tokenId !== before.get(account)?.status?.tokenId;
  });
}

/** Seconds from issue to expiry, and from issue to renewal. */
function spansOf(record: PullCredentialRecord | undefined): [number, number] {
  const { issuedAt = 0, expiresAt = 0, refreshAt = 0 } = record?.status ?? {};
  return [(expiresAt - issuedAt) / 1000, (refreshAt - issuedAt) / 1000];
}
