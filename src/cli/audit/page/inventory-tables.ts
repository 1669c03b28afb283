// The page's tables of registries and identities.
import { markup, type Markup } from './markup.ts';
import { hostText, MOST_ROWS } from './tables.ts';
import { WAYS, type IdentityLine, type InventoryLine } from '../report.ts';

export function inventoryTable(inventory: readonly InventoryLine[]): Markup {
  return markup`<div class="scroll" tabindex="0" role="region" aria-label="Registries">
    <table id="registries">
      <caption>
        Workloads and pods of their own, by how they get in; running pods in brackets.
      </caption>
      <thead>
        <tr>
          <th scope="col" class="w21">Registry</th>
          <th scope="col" class="number w7">Objects</th>
          <th scope="col" class="number w6">Pods</th>
          <th scope="col" class="number w7">Accounts</th>
          <th scope="col" class="number w7">Explicit</th>
          <th scope="col" class="number w7">Inherited</th>
          <th scope="col" class="number w9">None or node</th>
          <th scope="col" class="number w9">keyless-pull</th>
          <th scope="col">Rule</th>
        </tr>
      </thead>
      <tbody>
        ${inventory.slice(0, MOST_ROWS).map(inventoryRow)}
      </tbody>
    </table>
  </div> `;
}

function inventoryRow(line: InventoryLine): Markup {
  const rule = line.rules.join(', ') || (line.impossible ?? '–');
  const ways = WAYS.map((way) => {
    const { pods, workloads } = line.ways[way];
    const text = `${workloads}${pods > 0 ? ` (${pods})` : ''}`;
    return markup`<td class="number" data-value="${workloads}">${text}</td>`;
  });
  return markup`<tr>
    <th scope="row" class="host">${hostText(line.host)}</th>
    <td class="number">${line.workloads}</td>
    <td class="number">${line.pods}</td>
    <td class="number">${line.accounts}</td>
    ${ways}
    <td class="todo">${rule}</td>
  </tr> `;
}

export function identitiesTable(identities: readonly IdentityLine[]): Markup {
  return markup`<div class="scroll" tabindex="0" role="region" aria-label="Identities">
    <table id="identities">
      <caption>
        A rule reads the annotation of another tool where its parameters list it in accept.
      </caption>
      <thead>
        <tr>
          <th scope="col" class="w12">Namespace</th>
          <th scope="col" class="w12">Account</th>
          <th scope="col">Cloud</th>
          <th scope="col" class="w21">Annotation</th>
          <th scope="col">Accepted by</th>
          <th scope="col">Could be accepted by</th>
        </tr>
      </thead>
      <tbody>
        ${identities.slice(0, MOST_ROWS).map(
          (line) => markup`<tr>
            <td class="name">${line.namespace}</td>
            <th scope="row" class="name">${line.account}</th>
            <td>${line.cloud}</td>
            <td class="name">
              ${line.annotation}<span class="small">${line.value ?? 'does not look like one'}</span>
            </td>
            <td>${line.acceptedBy.join(', ') || '–'}</td>
            <td>${line.couldBeAcceptedBy.join(', ') || '–'}</td>
          </tr> `,
        )}
      </tbody>
    </table>
  </div> `;
}
