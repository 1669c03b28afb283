// What changes between kubelets. https://github.com/kubernetes/enhancements/tree/master/keps/sig-auth/4412-projected-service-account-tokens-for-kubelet-image-credential-providers

export const releases = ['1.33', '1.34', '1.35', '1.36', '1.37'] as const;
export type Release = (typeof releases)[number];
export const NEWEST_TESTED: Release = '1.36';

export const TOKEN_GATE = 'KubeletServiceAccountTokenForCredentialProviders';

export interface ReleaseFacts {
  /** `cacheType` is known, and required; the config may be a folder. */
  readonly isBeta: boolean;
  /** Present images are not given to pods that could not pull them (KubeletEnsureSecretPulledImages). */
  readonly verifiesPulledImages: boolean;
}

export function factsOf(release: Release): ReleaseFacts {
  const at = releases.indexOf(release);
  return { isBeta: at >= releases.indexOf('1.34'), verifiesPulledImages: at >= releases.indexOf('1.35') };
}
