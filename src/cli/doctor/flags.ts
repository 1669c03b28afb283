// The flags of doctor, for the program that offers them.

export interface DoctorFlag {
  readonly flags: string;
  readonly means: string;
}

export const doctorFlags: readonly DoctorFlag[] = [
  { flags: '--config <file>', means: 'the config of the webhook' },
  { flags: '--rule <name>', means: 'the rule to try' },
  { flags: '--account <namespace/name>', means: 'the ServiceAccount to try it for' },
  { flags: '--host <host>', means: "registry host; default: the image's, or the only one of the rule" },
  { flags: '--image <image>', means: 'an image whose manifest the login must open' },
  { flags: '--kubeconfig <file>', means: 'as for kubectl' },
  { flags: '--context <name>', means: 'context of the kubeconfig' },
  { flags: '--as <user>', means: 'ask the cluster as somebody else, as for kubectl' },
  { flags: '--issuer-ca <file>', means: "PEM bundle for the issuer's certificate; default: the system's" },
  {
    flags: '--registry-ca <file>',
    means: "PEM bundle for the registry and its realm, besides the public ones; default: the rule's",
  },
  { flags: '--offline', means: 'only what the config and --account-file can tell' },
  {
    flags: '--account-file <file>',
    means: 'with --offline: the ServiceAccount, and its Namespace; "-" reads stdin',
  },
];

export const doctorExamples: readonly string[] = [
  'doctor --config config.yaml --rule team-registry --account shop/web',
  'doctor --config config.yaml --rule team-registry --account shop/web --image registry.team.example/shop/web:1',
];

export const DOCTOR_PROMISE =
  'A token of the account is made and tried; neither it nor a registry password is ever printed.';
