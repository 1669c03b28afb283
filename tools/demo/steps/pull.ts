// Pulls as a kubelet does: challenge, registry token, manifest, blobs. With the very Secret, and in ways that must fail.
import type { RegistryLogin, TransferError } from '../../image-transfer.ts';
import { pullImage } from '../../image-transfer.ts';
import { OTHER_TEAM, TEAM } from '../manifests.ts';
import { AUDIENCE } from '../program-configs.ts';
import { TAG } from '../push-images.ts';
import type { Stage, Step } from '../stage.ts';
import { loginIn, recordOf } from '../stage.ts';

const OWN = `${TEAM}/report`;
const FOREIGN = `${OTHER_TEAM}/ledger`;

export const pull: Step = {
  title: '6  The pull',
  sentence:
    'What a kubelet does with the Secret: challenge, registry token, manifest, blobs. And who does not get in.',
  concerns: ['token-server', 'registry'],
  async run(stage) {
    const { shell } = stage;
    const { secretName } = await recordOf(stage, 'report');
    const path = String.raw`jsonpath={.data.\.dockerconfigjson}`;
    const secret = await shell.kubectl(['get', 'secret', secretName, '-n', TEAM, '-o', path], {
      show: 'size',
    });
    const login = loginIn(stage, secret.stdout);
    await checkPull(stage, 'report', login);

    await checkRefusal(stage, OWN, 'without the Secret');
    await checkRefusal(stage, FOREIGN, "with the Secret, because the image is another team's", login);

    const foreign = await tokenOf(stage, ['-n', OTHER_TEAM, `--audience=${AUDIENCE}`]);
    await checkRefusal(stage, OWN, "with a token of another team's account", {
      username: `${OTHER_TEAM}/report`,
      password: foreign,
    });
    await checkRefusal(stage, OWN, `with that token under the name ${login.username}`, {
      username: login.username,
      password: foreign,
    });
    await checkRefusal(stage, OWN, "with the account's own token for the API server, a wrong audience", {
      username: login.username,
      password: await tokenOf(stage, ['-n', TEAM]),
    });
  },
};

/** Pulls the account's image whole, and compares the digest with the one that was pushed. */
export async function checkPull(stage: Stage, account: string, login: RegistryLogin): Promise<void> {
  const { screen, registry, certificateAuthorityFile, digests } = stage;
  const repository = `${TEAM}/${account}`;
  await screen.check(
    `pulled ${repository}:${TAG} with the Secret: the manifest and every blob, each with its right digest`,
    async () => {
      const options = { authorization: login, certificateAuthorityFile };
      const { manifest, blobs } = await pullImage(registry.url, repository, TAG, options);
      if (manifest.digest !== digests[repository]) throw new Error('this is not the image that was pushed');
      return `${manifest.digest.slice(0, 'sha256:'.length + 12)}…, ${blobs.length} blobs`;
    },
    (found) => found,
  );
}

async function checkRefusal(
  { screen, registry, certificateAuthorityFile }: Stage,
  repository: string,
  how: string,
  login?: RegistryLogin,
): Promise<void> {
  await screen.check(
    `refused ${repository}:${TAG} ${how}`,
    async () => {
      const options = { authorization: login, certificateAuthorityFile };
      const error = await pullImage(registry.url, repository, TAG, options).then(
        () => undefined,
        (refusal: TransferError) => refusal,
      );
      if (error?.status !== 401) throw new Error(error ? error.message : 'it was pulled');
      // Both answer in the form of the registry API's errors.
      const [, message = 'no message'] = /"message":"([^"]*)"/.exec(error.message) ?? [];
      return `401 by the ${error.address.startsWith(registry.url) ? 'registry' : 'token server'}: ${message}`;
    },
    (by) => by,
  );
}

/** A token of ServiceAccount report, asked for with kubectl by the administrator. */
async function tokenOf({ shell, passwords }: Stage, flags: readonly string[]): Promise<string> {
  const { stdout } = await shell.kubectl(['create', 'token', 'report', ...flags], { show: 'size' });
  const token = stdout.trim();
  passwords.add(token);
  return token;
}
