// Runs while the image is built, in its first stage: collects what Node needs to run, says whose it is, and completes the list
// of what is inside. `node runtime-files.ts <npm's CycloneDX file> <folder that becomes the root>`
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

interface Component {
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
}

interface Sbom {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
}

const USER = 65_532;
const [npmList = '', root = ''] = process.argv.slice(2);
const put = (path: string, content: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};
const copy = (from: string, to = from) => {
  mkdirSync(dirname(join(root, to)), { recursive: true });
  copyFileSync(from, join(root, to));
};

const ask = (command: string, ...words: string[]) => execFileSync(command, words, { encoding: 'utf8' });
const node = realpathSync(process.execPath);
const libraries = [...ask('ldd', node).matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
copy(node, '/usr/local/bin/node');
for (const library of libraries) copy(library);

// Where dpkg's own list would be: what scanners of images read, one file per package.
const owners = new Set(
  libraries.map((library) => ask('dpkg', '-S', `*/${basename(realpathSync(library))}`).split(':')[0] ?? ''),
);
const packages = [...owners].map((name): Component => {
  put(`/var/lib/dpkg/status.d/${name}`, ask('dpkg-query', '--status', name));
  copy(`/usr/share/doc/${name}/copyright`);
  const [version = '', architecture = ''] = ask(
    'dpkg-query',
    '-W',
    '-f',
    '${Version} ${Architecture}',
    name,
  ).split(' ');
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`;
  return { type: 'library', name, version, purl };
});
copy('/etc/os-release');
// The licence of Node lies where its archive was unpacked.
const licence = join(dirname(node), '../LICENSE');
if (existsSync(licence)) copy(licence, '/usr/share/doc/node/LICENSE');

put('/etc/passwd', `root:x:0:0:root:/:/none\nkeyless-pull:x:${USER}:${USER}:keyless-pull:/:/none\n`);
put('/etc/group', `root:x:0:\nkeyless-pull:x:${USER}:\n`);
// Without it, glibc asks the DNS before the files.
put('/etc/nsswitch.conf', 'hosts: files dns\n');

const sbom = JSON.parse(readFileSync(npmList, 'utf8')) as Sbom;
const version = process.versions.node;
const runtime = { type: 'platform', name: 'node', version, purl: `pkg:generic/node@${version}` };
put(
  '/usr/share/sbom/keyless-pull.cdx.json',
  JSON.stringify({
    ...sbom,
    // npm calls the package like the folder that it was built in.
    metadata: { ...sbom.metadata, component: { ...sbom.metadata.component, name: 'keyless-pull' } },
    components: [...sbom.components, runtime, ...packages],
  }),
);
