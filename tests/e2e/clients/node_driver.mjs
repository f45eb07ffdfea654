// Drives the npm package webdav: JSON lines in and out.
import { createInterface } from "node:readline";
import { readFile, writeFile } from "node:fs/promises";

const { createClient } = await import(process.argv[2]);
const { DAV_URL, DAV_USER, DAV_PASSWORD } = process.env;
const client = createClient(DAV_URL, DAV_USER ? { username: DAV_USER, password: DAV_PASSWORD } : {});

const verbs = {
  mkcol: (name) => client.createDirectory(`/${name}`),
  put: async (local, name) => {
    if (!(await client.putFileContents(`/${name}`, await readFile(local)))) throw new Error("not put");
  },
  names: async (folder) => (await client.getDirectoryContents(`/${folder}`)).map((entry) => entry.basename),
  move: (source, destination) => client.moveFile(`/${source}`, `/${destination}`),
  get: async (name, local) => writeFile(local, await client.getFileContents(`/${name}`)),
  delete: (name) => client.deleteFile(`/${name}`),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...args] = JSON.parse(line);
  let answer;
  try {
    const names = await verbs[verb](...args);
    answer = { names: Array.isArray(names) ? names : [] };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
