// How success of a migration is proven, said wherever one is shown.

/** What every migration must know: a pod that runs proves nothing yet. */
export const PROOF =
  'A static secret for the same host is tried first, so a pod that runs proves nothing while it has one. Proven is: ' +
  'the PullCredential is Ready (kubectl get pullcred -n NAMESPACE), and a pod without the static reference has pulled ' +
  '(keyless-pull explain pod NAME). keyless-pull migrate --plan says how, step by step.';
