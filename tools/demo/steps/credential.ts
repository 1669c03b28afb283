// The records become Ready, and the Secrets are there: looked at by the administrator, without their content.
import { MANAGED_LABEL, VELERO_EXCLUDE_LABEL } from '../../../src/core/vocabulary.ts';
import { waitUntil } from '../../processes.ts';
import { ACCOUNTS, TEAM } from '../manifests.ts';
import type { Step } from '../stage.ts';
import { DOCKER_CONFIG_KEY, loginIn, ownersOf, recordOf, recordsOfTeam, secretOfTeam } from '../stage.ts';

const RECORD_DEADLINE_MS = 30_000;

export const credential: Step = {
  title: '4  The credential is made',
  sentence: 'A record and a Secret for each account that pulls. The record says everything but the password.',
  concerns: ['keyless-pull'],
  async run(stage) {
    const { screen, shell, registry } = stage;
    await screen.check(`a PullCredential for each of the accounts ${ACCOUNTS.join(' and ')}`, () =>
      waitUntil(
        'there is a record of each account',
        async () => [...(await recordsOfTeam(stage)).keys()].toSorted().join() === ACCOUNTS.join(),
        { deadlineMs: RECORD_DEADLINE_MS },
      ),
    );
    const wait = ['wait', '--for=condition=Ready', 'pullcred', '--all', '-n', TEAM, '--timeout=30s'];
    await screen.check('both are Ready', () => shell.kubectl(wait));
    await shell.kubectl(['get', 'pullcred', '-n', TEAM]);
    await shell.kubectl(['get', 'secrets', '-n', TEAM, '--show-labels']);

    for (const account of ACCOUNTS) {
      const record = await recordOf(stage, account);
      const secret = await secretOfTeam(stage, record.secretName);
      const { labels, uid, ownerReferences } = secret.metadata;
      screen.expect(
        `${account}: a dockerconfigjson Secret, labelled as managed, and left out of backups`,
        secret.type === 'kubernetes.io/dockerconfigjson' &&
          labels[MANAGED_LABEL] === 'true' &&
          labels[VELERO_EXCLUDE_LABEL] === 'true',
        JSON.stringify({ type: secret.type, labels }),
      );
      const recordOwners = await ownersOf(stage, record.name);
      screen.expect(
        `${account}: the Secret is owned by the PullCredential, and that by the ServiceAccount: they go together`,
        ownerReferences.length === 1 &&
          ownerReferences[0]?.uid === record.uid &&
          record.status?.secretUid === uid &&
          recordOwners.join() === record.accountUid,
        JSON.stringify({ uid, ownerReferences, record, recordOwners }),
      );
      const { username } = loginIn(stage, secret.data[DOCKER_CONFIG_KEY]);
      screen.expect(
        `${account}: its login for ${registry.host} is ${username}, with a password that is shown nowhere`,
        username === `${TEAM}/${account}`,
      );
    }
  },
};
