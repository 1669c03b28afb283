// What one line of `doctor node` says, and what its steps share.
import type { AccountView } from '../../../core/pod-view.ts';
import type { Provider } from '../../kubelet/provider-config.ts';
import type { Finding } from '../step.ts';
import type { KubeletSettings } from './kubelet-settings.ts';

/** A contract, like the codes of problems: docs/doctor.md says what each of them checks. */
export const nodeStepIds = [
  'kubelet',
  'provider-config',
  'executables',
  'image',
  'providers',
  'account',
  'audience',
  'answer',
  'present',
] as const;
export type NodeStepId = (typeof nodeStepIds)[number];

export interface NodeStep extends Finding {
  readonly step: NodeStepId;
  /** Of which of several providers or images it speaks; empty: of the node. */
  readonly about: string;
}

/** What the files said. */
export interface NodeFacts {
  readonly settings: KubeletSettings;
  readonly providers: readonly Provider[];
  /** As the kubelet matches it: without tag and digest. */
  readonly image: string | undefined;
  readonly account: Pick<AccountView, 'namespace' | 'name' | 'uid' | 'annotations'> | undefined;
  /** Raw manifests beside the account: pods and roles. */
  readonly objects: readonly Readonly<Record<string, unknown>>[];
}
