// Templates that are webhook-config/'s own text with the places filled in that an installation chooses: nobody keeps two
// copies of the fences alike by hand.
import { readFileSync } from 'node:fs';

const SOURCE = new URL('../../webhook-config/', import.meta.url);

type Change = (text: string) => string;

/** By the template's name: the files that it is made of, what is changed in them, and on which condition it is rendered. */
const copies: Readonly<Record<string, { from: readonly string[]; change: Change; condition: string }>> = {
  'crd.yaml': {
    from: ['crd.yaml'],
    // In templates/, because Helm never updates what lies in crds/.
    change: (text) => text.replace(LABELS, `${LABELS}\n  annotations:\n    helm.sh/resource-policy: keep`),
    condition: '.Values.crd.install',
  },
  'fences.yaml': {
    from: ['fences.yaml'],
    change: fencesOf,
    condition: '.Values.fences.enabled',
  },
  'label-fence.yaml': {
    from: ['label-fence/policy.yaml', 'label-fence/role.yaml'],
    change: place(/(?<=\n---)\n(# Bind it [\s\S]*)$/, '\n{{- if .Values.rbac.create }}\n$1\n{{- end }}'),
    condition: '.Values.fences.namespaceLabels',
  },
};

const LABELS = '  labels:\n    {{- include "keyless-pull.labels" . | nindent 4 }}';

/** Text of each template, by its name. */
export function copiedTemplates(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(copies).map(([name, { from, change, condition }]) => {
      const text = from.map((file) => readFileSync(new URL(file, SOURCE), 'utf8').trimEnd()).join('\n---\n');
      const origin = `{{- /* Written by \`npm run generate\` from webhook-config/${from.join(' and ')}. */}}`;
      return [name, `${origin}\n{{- if ${condition} }}\n${change(labelled(text))}\n{{- end }}\n`];
    }),
  );
}

function labelled(text: string): string {
  return text.replaceAll(/^metadata:\n {2}name: .*$/gm, (lines) => `${lines}\n${LABELS}`);
}

/** @throws Error where a place is not found any more */
function fencesOf(text: string): string {
  return [
    place(/system:serviceaccount:keyless-pull:keyless-pull/g, '{{ include "keyless-pull.workerUser" . }}'),
    place(/(request\.namespace [!=]= )'keyless-pull'/g, "$1'{{ .Release.Namespace }}'"),
    place(/('kube-node-lease', )'keyless-pull'/g, "$1'{{ .Release.Namespace }}'"),
    place(/(- name: audiences\n +expression: ).*/, '$1{{ include "keyless-pull.audiences" . | quote }}'),
    place(/of all rules in config\.yaml\. README\.md shows how to .*/, 'of all rules in config.'),
    place(/^# The worker is named in one form everywhere[\s\S]*?\n#\n/m, ''),
  ].reduce((changed, change) => change(changed), text);
}

function place(pattern: RegExp, filled: string): Change {
  return (text) => {
    const changed = text.replace(pattern, filled);
    if (changed === text) throw new Error(`webhook-config has nothing like ${String(pattern)}`);
    return changed;
  };
}
