// The page's table of findings. What is sorted by something else than its text says it in data-value.
import { markup, NOTHING, trusted, type Markup } from './markup.ts';
import { ageText } from '../table.ts';
import type { AuditFinding, AuditReport } from '../report.ts';

/** A file that can still be mailed, about 5 MB; the JSON has all. */
export const MOST_ROWS = 5_000;

export function findingsTable(findings: readonly AuditFinding[], now: number): Markup {
  const shown = findings.slice(0, MOST_ROWS);
  const rest = findings.length - shown.length;
  const caption =
    rest > 0
      ? `The first ${shown.length} of ${findings.length} findings; --output json has them all.`
      : 'One line for each object and Secret.';
  return markup`${controls(shown)}
    <div class="scroll" tabindex="0" role="region" aria-label="Findings">
      <table id="findings">
        <caption>
          ${caption}
        </caption>
        <thead>
          <tr>
            <th scope="col" class="w9">Namespace</th>
            <th scope="col" class="w12">Object</th>
            <th scope="col" class="w12">Secret</th>
            <th scope="col" class="w7">Set</th>
            <th scope="col" class="w15">Registries</th>
            <th scope="col" class="w7">Rule</th>
            <th scope="col" class="number w6">Age</th>
            <th scope="col" class="number w7">Others</th>
            <th scope="col" class="number w6">Pods</th>
            <th scope="col">To do</th>
          </tr>
        </thead>
        <tbody>
          ${shown.map((finding) => findingRow(finding, now))}
        </tbody>
      </table>
    </div>
    <button type="button" class="button" id="more" hidden>Show more</button> `;
}

function findingRow(finding: AuditFinding, now: number): Markup {
  const { kind, name, owner, origin, covered, exemption, missing, advice } = finding;
  const itself = `${kind}/${name}`;
  const rule = covered === null ? 'unknown' : covered ? 'yes' : 'no';
  const ruleClass = rule === 'unknown' ? 'none' : rule;
  const created = finding.secretCreatedAt === null ? 0 : Date.parse(finding.secretCreatedAt);
  return markup`<tr data-origin="${origin}" data-covered="${rule}" data-namespace="${finding.namespace}">
    <td class="name">${finding.namespace}</td>
    <th scope="row" class="name">
      ${name}<span class="small"
        >${kind}${owner === null || owner === itself ? '' : ` of ${owner}`}${kind === 'ServiceAccount' ? '' : `, account ${finding.account}`}</span
      >
    </th>
    <td class="name">${finding.secret}<span class="small">${secretText(finding)}</span></td>
    <td>
      <span class="badge ${origin}">${origin}</span
      >${exemption ? markup`<span class="small">exempt until ${exemption.until}: ${exemption.reason}</span>` : NOTHING}
    </td>
    <td class="host">
      ${listed(finding.hosts)}${finding.hostsFrom === 'images' && finding.hosts.length > 0 ? markup`<span class="small">of its images</span>` : NOTHING}
    </td>
    <td><span class="badge ${ruleClass}">${rule}</span></td>
    <td class="number" data-value="${created === 0 ? -1 : Math.max(0, now - created)}">
      ${ageText(finding.secretCreatedAt, now)}
    </td>
    <td class="number">${finding.usedByOthers}</td>
    <td class="number">${finding.pods}</td>
    <td class="todo">
      <ul>
        ${missing.map((text) => markup`<li>${text}</li>`)}
        <li>${advice}</li>
      </ul>
    </td>
  </tr> `;
}

function secretText({ secretState, secretType }: AuditFinding): string {
  if (secretState === 'absent') return 'does not exist';
  if (secretState === 'unknown') return '';
  const type = (secretType ?? '').replace('kubernetes.io/', '');
  return secretState === 'unreadable' ? `${type}, no logins in it` : type;
}

function listed(hosts: readonly string[]): Markup {
  return markup`${hosts.map((host) => markup`<div>${hostText(host)}</div>`)}`;
}

/** May be broken behind a dot rather than anywhere. */
export function hostText(host: string): Markup {
  const parts = host.split(/(?<=\.)/);
  return markup`${parts.map((part, at) => markup`${at > 0 ? trusted('<wbr>') : NOTHING}${part}`)}`;
}

function controls(findings: readonly AuditFinding[]): Markup {
  const namespaces = [...new Set(findings.map(({ namespace }) => namespace))].toSorted();
  const option = (value: string, text = value) => markup`<option value="${`=${value}`}">${text}</option>`;
  const select = (key: string, label: string, options: readonly Markup[]) =>
    markup`<label
      >${label}<select data-filter="${key}">
        <option value="">all</option>
        ${options}
      </select></label
    >`;
  return markup`<div class="controls" data-scripted hidden>
    <label>Search<input type="search" id="search" placeholder="any words" /></label>
    ${select(
      'namespace',
      'Namespace',
      namespaces.map((namespace) => option(namespace)),
    )}
    ${select('origin', 'Set', [option('explicit'), option('inherited')])}
    ${select('covered', 'Rule', [option('yes', 'covered'), option('no', 'not covered'), option('unknown')])}
    <button type="button" class="button" id="clear">Clear</button>
    <span role="status" id="told"></span>
  </div>`;
}

/** What touches most pods first, then by name: how a reader begins. */
export function byImpact({ findings }: AuditReport): AuditFinding[] {
  return findings.toSorted((one, other) => other.pods - one.pods || other.usedByOthers - one.usedByOthers);
}
