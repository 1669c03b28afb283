// The kubeconfig that kubectl would use, by kubectl's own rules where client-node has others.
import { existsSync } from 'node:fs';
import { delimiter, dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { fieldsOf, listOf, textOf } from '../core/fields.ts';
import { Problem } from '../problem.ts';
import { readText } from '../text-file.ts';
import { KubeConfig } from './client-node.ts';
import type { KubeChoice } from './kube-cluster.ts';

/** client-node drops `tokenFile`, which kubectl reads, beside the kubeconfig, and prefers to a token. */
class KubectlConfig extends KubeConfig {
  override loadFromFile(file: string, options?: Parameters<KubeConfig['loadFromFile']>[1]): void {
    super.loadFromFile(file, options);
    const { users } = fieldsOf(parse(readText(file)));
    this.users = this.users.map((user) => {
      const raw = listOf(users).find(({ name }) => name === user.name);
      const path = textOf(fieldsOf(raw?.['user'])['tokenFile']);
      if (path === '') return user;
      const { token: _, ...others } = user;
      const config = { tokenFile: resolve(dirname(file), path) };
      return { ...others, authProvider: { name: 'tokenFile', config } };
    });
  }
}

/** @throws Problem config-invalid or file-unreadable */
export function loadKubeConfig({ kubeconfig, usual, context }: KubeChoice): KubeConfig {
  const config = kubeconfig === undefined ? loadUsual(usual) : loadOne(kubeconfig);
  if (context === undefined) return config;
  const known = config.getContexts().map(({ name }) => name);
  if (!known.includes(context)) {
    throw new Problem(
      'config-invalid',
      `the kubeconfig has no context ${JSON.stringify(context)}: it knows ${known.join(', ') || 'none'}`,
    );
  }
  config.setCurrentContext(context);
  return config;
}

function loadUsual(named: string | undefined): KubeConfig {
  return named ? loadMerged(named.split(delimiter).filter(Boolean)) : load('of this user', loadDefault);
}

function loadDefault(config: KubeConfig): void {
  config.loadFromDefault();
}

function loadOne(path: string): KubeConfig {
  readText(path);
  return load(path, (config) => config.loadFromFile(path));
}

/** A file that is not there is passed over, and of what several say the first counts: client-node takes the last context. */
function loadMerged(paths: readonly string[]): KubeConfig {
  const [first, ...others] = paths.filter((path) => existsSync(path));
  if (first === undefined)
    throw new Problem(
      'file-unreadable',
      `cannot read the kubeconfig that KUBECONFIG names: there is no such file: ${paths.join(', ')}`,
    );
  const config = loadOne(first);
  for (const other of others.map(loadOne)) {
    config.currentContext ||= other.currentContext;
    config.clusters = withNew(config.clusters, other.clusters);
    config.users = withNew(config.users, other.users);
    config.contexts = withNew(config.contexts, other.contexts);
  }
  return config;
}

function withNew<T extends { readonly name: string }>(known: readonly T[], more: readonly T[]): T[] {
  return [...known, ...more.filter(({ name }) => known.every((each) => each.name !== name))];
}

function load(name: string, read: (config: KubeConfig) => void): KubeConfig {
  const config = new KubectlConfig();
  try {
    read(config);
  } catch (cause) {
    throw new Problem('config-invalid', `the kubeconfig ${name} cannot be read as one`, { cause });
  }
  return config;
}
