/*
 * `npm run setup:cuda [-- --from-npm]`: adds ONNX Runtime's CUDA provider to the installed
 * onnxruntime-node. By default its own install script fetches it from NuGet (CUDA 12); with --from-npm
 * it comes from the npm registry (CUDA 13), for places that reach no other. Linux x64 only.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NPM_PACKAGE = 'com.github.asus4.onnxruntime.linux-x64-gpu@0.4.9'; // of ONNX Runtime 1.29
const NPM_FOLDER = 'package/Plugins/Linux/x64';
const LIBRARIES = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const runtime = 'node_modules/onnxruntime-node';
const target = `${runtime}/bin/napi-v6/linux/x64`;
if (process.platform !== 'linux' || process.arch !== 'x64') fail('CUDA needs Linux on x64.');
if (!existsSync(runtime)) fail('Run npm ci first.');
if (process.argv.includes('--from-npm')) fromNpm();
else fromNuGet();
console.log(`
The CUDA provider lies in ${target}. It also needs, on the library path of the worker:
the CUDA runtime, cuBLAS, cuRAND and cuDNN 9, of the same major version of CUDA.
Then: BUZZER_DEVICE=cuda:0 npm run inference (see docs/gpu.md)`);

function fromNuGet() {
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'cuda12' };
  run(process.execPath, ['script/install.js'], { cwd: runtime, env });
}

function fromNpm() {
  const folder = mkdtempSync(join(tmpdir(), 'buzzer-cuda-'));
  try {
    run('npm', ['pack', '--silent', NPM_PACKAGE, '--pack-destination', folder], {});
    run('sh', ['-c', 'tar -xzf ./*.tgz'], { cwd: folder });
    for (const name of LIBRARIES) {
      copyFileSync(join(folder, NPM_FOLDER, name), join(target, name));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(command, args, options) {
  try {
    execFileSync(command, args, { stdio: 'inherit', ...options });
  } catch (error) {
    fail(`${command} ${args.join(' ')} failed: ${error.message}`);
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
