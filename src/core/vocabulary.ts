// Every label, annotation and name that other people's scripts rely on. They are versioned: see the CHANGELOG.

/** Namespace label, the opt-in: `enabled`, or `draining` (no new credentials, those in use are still renewed). Pod label: `disabled`. */
export const INJECT_LABEL = 'keyless-pull.dev/inject';

/** Namespace label: `enforce`, `warn`, `audit` or `off`. The webhook configuration reads it; the mode reaches us in the path. */
export const STATIC_PULL_SECRETS_LABEL = 'keyless-pull.dev/static-pull-secrets';

/** On pods that carry our references, on Secrets and records that are ours: always the string "true". */
export const MANAGED_LABEL = 'keyless-pull.dev/managed';

/** Pod annotation, output only: `rule=secret-name` or `rule=kubelet`, comma-separated. */
export const CREDENTIALS_ANNOTATION = 'keyless-pull.dev/credentials';

/** Pod annotation: the containers that see the tokens of the pod's rules, `<container,…>` or `*`. */
export const MOUNT_ANNOTATION = 'keyless-pull.dev/mount';

/** Pod annotation: the containers that have one rule's Secret as docker config, `<rule>:<container,…>` or `<rule>:*`. */
export const DOCKER_CONFIG_ANNOTATION = 'keyless-pull.dev/docker-config';

/** Account annotation: `"true"` asks rules with `prewarm` for a credential before any pod does; `<rule>.` before it asks one rule. */
export const PREWARM_ANNOTATION = 'keyless-pull.dev/prewarm';

/** The scheduling gate that holds a pod until its credentials exist. */
export const GATE = 'keyless-pull.dev/credentials';

/** The projected volume with one token per rule, at `<rule>/token`. */
export const TOKEN_VOLUME = 'keyless-pull-tokens';

/** Where TOKEN_VOLUME is mounted: the same with the tokens that the pod's containers may not see. */
export const UNMOUNTED_TOKEN_VOLUME = 'keyless-pull-unmounted-tokens';

/** The Secret volume with one rule's `config.json`. */
export const DOCKER_CONFIG_VOLUME = 'keyless-pull-docker-config';

/** Every managed Secret's name begins with it; a fence keeps tenants away from the prefix. */
export const SECRET_PREFIX = 'keyless-pull-';

/** Velero leaves labelled objects out of backups: a restored credential would be a dead one. */
export const VELERO_EXCLUDE_LABEL = 'velero.io/exclude-from-backup';

/** Audience that no rule may use: the worker asks for it to see whether the fence on TokenRequest stands. */
export const FENCE_PROBE_AUDIENCE = 'keyless-pull.dev/fence-probe';

/** The Lease of the working worker, in our own namespace. */
export const LEASE_NAME = 'keyless-pull-worker';

/** On that Lease: the namespaces in which the worker may open gates, comma-separated; absent: all of them. */
export const GATES_ANNOTATION = 'keyless-pull.dev/gates-in';

export const API_GROUP = 'keyless-pull.dev';
export const RECORD_API_VERSION = 'keyless-pull.dev/v1alpha1';
export const RECORD_KIND = 'PullCredential';
export const RECORD_PLURAL = 'pullcredentials';

/** Kubernetes' own annotation on an account: pods may only use the Secrets that the account lists. */
export const ENFORCE_MOUNTABLE_ANNOTATION = 'kubernetes.io/enforce-mountable-secrets';

/** Kubernetes' own annotation on the mirror of a static pod. */
export const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** Namespaces that are never touched, whatever their labels say. */
export const PROTECTED_NAMESPACES: readonly string[] = ['kube-system', 'kube-public', 'kube-node-lease'];
