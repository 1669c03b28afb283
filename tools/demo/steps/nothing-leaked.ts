// At the end: whether a password or token of this run can be found where it may not stand.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findLeaks, signatureOf } from '../leak-search.ts';
import type { Step } from '../stage.ts';
import { DOCKER_CONFIG_KEY, recordOf, secretOfTeam } from '../stage.ts';

export const nothingLeaked: Step = {
  title: '10  Nothing leaked',
  sentence: 'Every password and token of this run is looked for, plain and in base64.',
  concerns: [],
  async run(stage) {
    const { screen, controlPlane, run, registry, passwords, node } = stage;
    const secrets = [...passwords].map(signatureOf);
    const secret = await secretOfTeam(stage, (await recordOf(stage, 'report')).secretName);
    screen.expect(
      'the search finds one where it belongs: in the Secret',
      findLeaks({ secret: secret.data[DOCKER_CONFIG_KEY] ?? '' }, secrets).length === 1,
    );
    const logs = [controlPlane.folder, run.folder, registry.folder, ...(node ? [node.folder] : [])].map(
      logsIn,
    );
    const texts: Record<string, string> = Object.assign({ 'this screen': screen.text() }, ...logs);
    const size = Object.values(texts).reduce((sum, text) => sum + text.length, 0);
    await screen.check(
      `and none of ${secrets.length} on this screen or in the ${Object.keys(texts).length - 1} logs`,
      () => {
        const leaks = findLeaks(texts, secrets);
        if (leaks.length > 0) throw new Error(`found in ${leaks.join(', ')}`);
      },
      () => `${Math.round(size / 1024)} KiB searched`,
    );
  },
};

function logsIn(folder: string): Record<string, string> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.log'));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}
