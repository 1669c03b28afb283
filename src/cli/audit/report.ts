// What an audit says: the contract of `audit --output json`, which the table and the page show too.

/** One for each object and Secret; an object is a workload, an account, or a pod that no workload made. */
export interface AuditFinding {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Whom to change: the topmost owner as `Kind/name`, of a workload itself; null for accounts and for pods of nobody. */
  readonly owner: string | null;
  readonly origin: 'explicit' | 'inherited';
  readonly secret: string;
  /** Registry hosts that the Secret has logins for; where that is not known, those of the object's images. */
  readonly hosts: readonly string[];
  /** A rule covers every host that is pulled from; null without a config. */
  readonly covered: boolean | null;
  /** What stands between this object and credentials of its own. */
  readonly missing: readonly string[];
  readonly account: string;
  readonly hostsFrom: 'secret' | 'images';
  readonly imageHosts: readonly string[];
  readonly secretState: SecretState;
  readonly secretType: string | null;
  readonly secretCreatedAt: string | null;
  /** How many other objects use the same Secret. */
  readonly usedByOthers: number;
  /** Pods that run with it; 0 in manifests. */
  readonly pods: number;
  /** Whose line to remove. */
  readonly advice: string;
  /** The policy lets it pass. */
  readonly exemption?: { readonly until: string; readonly reason: string; readonly daysLeft: number };
}

/** `unreadable`: no kubelet understands it; `absent`: the cluster has none; `unknown`: not looked at, or not in the input. */
export type SecretState = 'read' | 'unreadable' | 'absent' | 'unknown';

export const WAYS = ['explicit', 'inherited', 'none', 'ours'] as const;
/** How a pod gets in today. `none`: anonymously or by the node's identity; `ours`: by a credential of keyless-pull. */
export type Way = (typeof WAYS)[number];

/** One for each registry host in use. */
export interface InventoryLine {
  readonly host: string;
  readonly pods: number;
  readonly workloads: number;
  readonly accounts: number;
  /** Objects counted under the least good way that any of their pods uses. */
  readonly ways: Readonly<Record<Way, { readonly pods: number; readonly workloads: number }>>;
  /** Rules that pods here are planned under; empty without a config. */
  readonly rules: readonly string[];
  /** Why no rule can serve this host today, and what to do instead. */
  readonly impossible: string | null;
}

/** An account that another tool has annotated with whom it is in a cloud. */
export interface IdentityLine {
  readonly namespace: string;
  readonly account: string;
  readonly cloud: string;
  readonly annotation: string;
  /** Null where it does not look like one, and is not shown. */
  readonly value: string | null;
  /** Rules that read this annotation for this account. */
  readonly acceptedBy: readonly string[];
  /** Rules that would, with the annotation in `accept`. */
  readonly couldBeAcceptedBy: readonly string[];
}

export interface AuditReport {
  readonly findings: readonly AuditFinding[];
  readonly inventory: readonly InventoryLine[];
  readonly identities: readonly IdentityLine[];
  readonly summary: {
    readonly source: 'cluster' | 'files';
    readonly looked: {
      readonly namespaces: number;
      readonly pods: number;
      readonly workloads: number;
      readonly serviceAccounts: number;
      readonly secrets: number;
    };
    /** Without those that are exempt. */
    readonly findings: number;
    readonly exempt: number;
    readonly explicit: number;
    readonly inherited: number;
    readonly covered: number;
    /** Different Secrets, and namespaces that have a finding. */
    readonly secrets: number;
    readonly namespaces: number;
    readonly registries: number;
    readonly withConfig: boolean;
    readonly withSecrets: boolean;
    /** References that have keyless-pull's names, taken as its own though neither config nor PullCredentials prove it. */
    readonly unproven: number;
    /** Accounts that pods name and the input has not: what is inherited from them cannot be told. */
    readonly accountsNotSeen: number;
    /** Kinds of objects that the user may not list, files that could not be read. */
    readonly notSeen: readonly string[];
  };
}
