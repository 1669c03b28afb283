// The same program as the start of a single executable: everything is loaded and tried once when the executable is built,
// and a run begins behind that.
import { startupSnapshot } from 'node:v8';
import { parseConfig } from '../config.ts';
import { answerProcess } from './answer-process.ts';
import { parseRequest } from './protocol.ts';

/** What has run once is compiled: a run of the executable need not do it again. */
const config = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: one
    hosts: ["one.example:5000"]
    audience: https://one.example
    exchange: { kind: pass-through, username: one }
    parameters: {}
    delivery: [kubelet]
    token: { inject: auto, expirationSeconds: 600 }
    subjects: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: one } }, serviceAccounts: ["*"] }]
`;
parseConfig(config, 'build');
parseRequest(
  JSON.stringify({
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    kind: 'CredentialProviderRequest',
    image: 'one.example/one',
  }),
);

startupSnapshot.setDeserializeMainFunction(() => void answerProcess());
