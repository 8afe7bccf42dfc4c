import secrets

from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel, EmailStr

from signup import mail
from signup.mail import send_welcome

app = FastAPI(title="Sign-up")
people: dict[str, str] = {}


class NewPerson(BaseModel):
    email: EmailStr
    name: str = "you"


class Reset(BaseModel):
    email: EmailStr


@app.post("/people", status_code=201)
async def sign_up(person: NewPerson, background_tasks: BackgroundTasks) -> NewPerson:
    background_tasks.add_task(send_welcome, person.email, name=person.name)
    background_tasks.add_task(mail.tell_staff, person.email)
    if person.email in people:
        raise HTTPException(409, "This address has signed up already.")
    people[person.email] = person.name
    return person


@app.post("/resets", status_code=202)
def reset_password(reset: Reset, background_tasks: BackgroundTasks) -> dict[str, str]:
    if reset.email in people:
        background_tasks.add_task(mail.send_reset, reset.email, code=secrets.token_hex(3))
    return {"message": "If we know this address, a mail is on its way."}
