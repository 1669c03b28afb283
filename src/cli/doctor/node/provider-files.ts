// The kubelet's provider config as it reads it, one file or a folder of them, and the executables that it names.
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { isProblem } from '../../../problem.ts';
import { errnoText, isFolder, readText } from '../../../text-file.ts';
import { faultsTogether, parseProviderConfig, type Provider } from '../../kubelet/provider-config.ts';
import { factsOf, TOKEN_GATE, type Release } from '../../kubelet/releases.ts';
import { failed, ok, warning, type Finding } from '../step.ts';
import type { KubeletSettings } from './kubelet-settings.ts';

const EXTENSIONS = ['.json', '.yaml', '.yml'];

export interface ReadProviders {
  readonly providers: readonly Provider[];
  readonly finding: Finding;
}

/** @throws Problem file-unreadable */
export function readProviders({ providerConfig, gates }: KubeletSettings, release: Release): ReadProviders {
  if (providerConfig === undefined) {
    const cure =
      'start the kubelet with --image-credential-provider-config and --image-credential-provider-bin-dir';
    return { providers: [], finding: failed('the kubelet is told of no provider config', cure) };
  }
  const { isBeta } = factsOf(release);
  const isOfMany = isFolder(providerConfig);
  const faults: string[] = [];
  const providers: Provider[] = [];
  for (const file of isOfMany ? filesIn(providerConfig) : [providerConfig]) {
    try {
      providers.push(...parseProviderConfig(readText(file), file).providers);
    } catch (error) {
      if (!isProblem(error, 'config-invalid')) throw error;
      faults.push(...(error.details.faults ?? []).map((fault) => `${file}: ${fault}`));
    }
  }
  if (isOfMany && !isBeta) faults.push(`a kubelet of ${release} reads one file, and no folder`);
  faults.push(...faultsTogether(providers, isBeta));
  if (providers.some(({ tokenAttributes }) => tokenAttributes) && !(gates[TOKEN_GATE] ?? isBeta))
    faults.push(`tokenAttributes need the feature gate ${TOKEN_GATE}, which is off here`);
  if (providers.length === 0 && faults.length === 0) faults.push(`${providerConfig} has no providers`);
  if (faults.length > 0) {
    const cure =
      'a kubelet does not start with it; keyless-pull generate kubelet-config writes one that it takes';
    return { providers, finding: failed(faults.join('; '), cure) };
  }
  return { providers, finding: ok(`${providerConfig}: ${providers.map(({ name }) => name).join(', ')}`) };
}

/** By the name of the provider. */
export function judgeExecutable({ name }: Provider, { binDir }: KubeletSettings): Finding {
  if (binDir === undefined) return warning('the folder of executables is not known', 'pass --bin-dir');
  const path = join(binDir, name);
  try {
    accessSync(path, constants.X_OK);
    if (!statSync(path).isFile()) return failed(`${path} is no file`, 'a kubelet does not start without it');
    return ok(path);
  } catch (error) {
    const cure = `a kubelet does not start without it: put the executable there, or a link to it`;
    return failed(`${path} cannot be run: ${errnoText(error)}`, cure);
  }
}

/** In the order in which the kubelet merges them. */
function filesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => EXTENSIONS.includes(extname(name)))
    .toSorted()
    .map((name) => join(folder, name));
}
